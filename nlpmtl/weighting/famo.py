"""All losses fall at an equal rate, at the cost of no backward."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Sight, Weighting, all_finite

_EPSILON = 1e-8
_BETA_1, _BETA_2 = 0.9, 0.999


class FamoOptions(Options):
    """Options of `Famo`."""

    lr: float = Field(0.025, gt=0)
    """How fast the weights are learned, by Adam."""
    decay: float = Field(1e-3, ge=0)
    """What pulls them back to equal weights."""


@WEIGHTINGS.register("famo", FamoOptions)
@dataclass(kw_only=True)
class Famo(Weighting):
    """Fast adaptive multi-task optimization (Liu et al. 2023, FAMO, algorithm 1).

        weight_t = K · c · z_t / l_t        z = softmax(ξ)        c = (Σ_i z_i / l_i)⁻¹

    for the K tasks of a step and their losses l. Once the weights of the model moved, the same rows tell l′, and ξ
    follows Adam, as in the authors' code, along Jᵀδ + decay · ξ with δ = log l − log l′ and the Jacobian J of the
    softmax: what fell less gets more. A forward before the step and one after it. A task without rows keeps its ξ.

    The formulas are defined for finite losses ≥ 0. Where a loss of a step is not, all weights of the step are 1, and ξ
    is not updated; nor is it where a loss after the step is not.

    Args:
        lr: > 0; the paper's is 0.025.
        decay: ≥ 0; the paper's is 0.001.
    """

    sight: ClassVar[Sight] = "losses"
    learns: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True

    lr: float
    decay: float

    def weigh(self, seen: Seen) -> dict[str, float]:
        if not _are_defined(seen.losses):
            return dict.fromkeys(seen.shares, 1.0)
        parts = {task: z / (seen.losses[task] + _EPSILON) for task, z in self._chances(seen).items()}
        total = math.fsum(parts.values())
        return {task: len(parts) * part / total for task, part in parts.items()}

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        if not (_are_defined(seen.losses) and _are_defined(after)):
            return
        z = self._chances(seen)
        delta = {task: math.log(seen.losses[task] + _EPSILON) - math.log(after[task] + _EPSILON) for task in z}
        mean = math.fsum(z[task] * delta[task] for task in z)
        for task in z:
            xi, first, second, steps = self.memory.get(task, (0.0, 0.0, 0.0, 0))
            gradient = z[task] * (delta[task] - mean) + self.decay * xi
            steps += 1
            first = _BETA_1 * first + (1 - _BETA_1) * gradient
            second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
            root = math.sqrt(second / (1 - _BETA_2**steps)) + _EPSILON
            self.memory[task] = [xi - self.lr * first / (1 - _BETA_1**steps) / root, first, second, steps]

    def _chances(self, seen: Seen) -> dict[str, float]:
        """What z is for the tasks of a step."""
        xi = {task: self.memory[task][0] if task in self.memory else 0.0 for task in seen.shares}
        grown = {task: math.exp(one - max(xi.values())) for task, one in xi.items()}
        total = math.fsum(grown.values())
        return {task: one / total for task, one in grown.items()}


def _are_defined(losses: Mapping[str, float]) -> bool:
    """Return whether the method is defined for these losses."""
    return all_finite(losses.values()) and all(loss >= 0 for loss in losses.values())

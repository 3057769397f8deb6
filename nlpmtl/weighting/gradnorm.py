"""Gradients of like size, the larger for what is learned more slowly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Sight, Weighting, all_finite

_LEAST = 1e-3
"""A weight stays positive."""
_TINY = 1e-200
"""A first loss that is not above this counts as 0, so that quotients are finite."""


class GradNormOptions(Options):
    """Options of `GradNorm`."""

    alpha: float = Field(1.5, ge=0)
    """How much more a task gets that is behind."""
    lr: float = Field(0.025, gt=0)
    """How fast the weights are learned: plain gradient descent."""


@WEIGHTINGS.register("gradnorm", GradNormOptions)
@dataclass(kw_only=True)
class GradNorm(Weighting):
    """GradNorm (Chen et al. 2018, GradNorm: Gradient Normalization for Adaptive Loss Balancing, equations 1 and 2).

    With G_t = w_t · ‖∇ mean_t‖ over what several tasks share, their mean Ḡ, and the relative inverse training rate
    r_t = (L_t / L_t(0)) / mean over tasks, the weights follow the gradient of Σ_t |G_t − Ḡ · r_t^α|, in which the
    second term is a constant; then they are scaled to sum to the number of tasks. The paper takes the last shared
    layer, this the whole encoder: one gradient per task is there anyway. What only one task has is not weighted.

    A task whose first loss was not above 0 takes L_t / L_t(0) = 1, and a later loss below 0 counts as 0. A step with a
    loss or a gradient that is not finite leaves the weights as they are.

    Args:
        alpha: α ≥ 0; the paper's is 1.5 for unlike tasks.
        lr: > 0; the paper's is 0.025.
    """

    sight: ClassVar[Sight] = "gradients"
    learns: ClassVar[bool] = True

    alpha: float
    lr: float

    def weigh(self, seen: Seen) -> dict[str, float]:
        return {task: self._weights[task] for task in seen.shares}

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        assert seen.gramian is not None, "it looks at gradients"
        if not all_finite([*losses.values(), *seen.gramian.ravel()]):
            return
        first = {**losses, **self.memory.get("first", {})}
        weights = self._weights
        norms = {
            task: math.sqrt(max(float(seen.gramian[i, i]), 0.0)) / share
            for i, (task, share) in enumerate(seen.shares.items())
        }
        usual = math.fsum(weights[task] * norm for task, norm in norms.items()) / len(norms)
        ratios = {task: max(losses[task], 0.0) / first[task] if first[task] > _TINY else 1.0 for task in norms}
        mean = math.fsum(ratios.values()) / len(ratios)
        for task, norm in norms.items():
            target = usual * (ratios[task] / mean) ** self.alpha if mean > 0 else usual
            apart = weights[task] * norm - target
            weights[task] = max(weights[task] - self.lr * norm * ((apart > 0) - (apart < 0)), _LEAST)
        total = math.fsum(weights.values())
        scaled = {task: len(weights) * weight / total for task, weight in weights.items()}
        self.memory = {"first": first, "weights": scaled}

    @property
    def _weights(self) -> dict[str, float]:
        learned: dict[str, float] = self.memory.get("weights", {})
        return dict.fromkeys(self.tasks, 1.0) | learned

"""Weights from the noise of each task, which is learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Weighting

_MOST = 50.0
"""The largest |s_t|: the weights exp(−s_t) are numbers in single precision."""


class UncertaintyOptions(Options):
    """Options of `Uncertainty`."""

    lr: float = Field(0.02, gt=0)
    """How fast the noise is learned: plain gradient descent."""


@WEIGHTINGS.register("uncertainty", UncertaintyOptions)
@dataclass(kw_only=True)
class Uncertainty(Weighting):
    """Homoscedastic uncertainty: weights exp(−s_t), where s_t = log σ_t² is learned with the model.

    Kendall, Gal and Cipolla (2018), Multi-Task Learning Using Uncertainty to Weigh Losses, equation 7 and the text
    below it. Each row is a likelihood, so the loss of a step is

        Σ_t share_t · (exp(−s_t) · mean_t + s_t)

    which is twice the paper's, so that all weights start at 1. s_t starts at 0 and follows its own gradient,
    share_t · (1 − exp(−s_t) · mean_t), with the rate `lr`, in place of the model's optimizer. It moves by at most 1
    in a step, so that a single huge loss does not decide the weights for long, and stays between −50 and 50. A loss
    that is not finite leaves it as it is.

    Args:
        lr: > 0.
    """

    learns: ClassVar[bool] = True

    lr: float

    def weigh(self, seen: Seen) -> dict[str, float]:
        return {task: math.exp(-self.memory.get(task, 0.0)) for task in seen.shares}

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        for task, weight in self.weigh(seen).items():
            if not math.isfinite(losses[task]):
                continue
            move = -self.lr * seen.shares[task] * (1 - weight * losses[task])
            moved = self.memory.get(task, 0.0) + min(max(move, -1.0), 1.0)
            self.memory[task] = min(max(moved, -_MOST), _MOST)

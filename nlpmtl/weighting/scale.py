"""Losses of like size: a loss of 1,000 beside one of 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Weighting

_LEAST = 1e-3
"""Of what a task's loss was at first, the least that it is divided by: one that is learned gets no endless weight."""
_MOST = 100.0
"""A loss counts as at most this many times the average, so that a single one does not decide the weights for long."""
_TINY = 1e-200
"""A first loss that is not above this counts as 0, so that quotients are finite."""


class ScaleOptions(Options):
    """Options of `Scale`."""

    keep: float = Field(0.99, ge=0, lt=1)
    """How much of the moving average of a task's loss is kept at each step."""


@WEIGHTINGS.register("scale", ScaleOptions)
@dataclass(kw_only=True)
class Scale(Weighting):
    """Each task's loss is divided by what it usually is.

        weight_t = 1 / L_t        L_t ← keep · L_t + (1 − keep) · mean_t

    L_t begins with the task's first loss above 0; up to the step that shows it, the weight is 1. It is the gradient of
    Σ_t share_t · log mean_t but for the average, which keeps single steps from shaking the weights: mean_t counts as
    at most 100 · L_t. A loss that is negative counts as 0, and one that is not finite is left out.

    Args:
        keep: of the moving average, from 0 to below 1.
    """

    learns: ClassVar[bool] = True

    keep: float

    def weigh(self, seen: Seen) -> dict[str, float]:
        return {task: self._weight(task) for task in seen.shares}

    def _weight(self, task: str) -> float:
        if task not in self.memory:
            return 1.0
        first, usual = self.memory[task]
        return 1.0 / max(usual, _LEAST * first) if first > _TINY else 1.0

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        for task, loss in losses.items():
            if not math.isfinite(loss):
                continue
            loss = max(loss, 0.0)
            first, usual = self.memory.get(task, (0.0, 0.0))
            if first <= _TINY:
                first, usual = loss, loss
            loss = min(loss, _MOST * max(usual, _LEAST * first))
            self.memory[task] = [first, self.keep * usual + (1 - self.keep) * loss]

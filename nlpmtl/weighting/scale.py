"""Loss normalisation: the loss of each task is divided by its moving average.

It balances tasks whose losses differ in size, for example a regression loss of 1,000 and a cross-entropy of 1.

    w_t = 1 / M_t        M_t ← β · M_t + (1 − β) · min(L_t, 100 · M_t)

Symbols:
- w_t: weight of task t
- M_t: exponential moving average of the loss of task t; it starts with the first loss above 0, and the weight is 1
  until then
- β: option `ema_decay`, from 0 to below 1
- L_t: mean loss of task t in the step

Apart from the moving average, the gradient is that of Σ_t s_t · log L_t, where s_t is the fraction of the step's labels
that belong to task t. The method is not from a paper.

Limits:
- A loss counts as at most 100 times the average, so that a single outlier does not decide the weights for long.
- M_t is taken as at least 0.001 times the first loss, so that the weight of a solved task stays bounded.
- A negative loss counts as 0, and a loss that is not finite is excluded.

Example:
    >>> from nlpmtl.weighting import Scale, StepObservation
    >>> weighting = Scale(tasks=["price", "topic"], epoch_steps=100, seed=0, ema_decay=0.99)
    >>> step = StepObservation(step=0, label_fractions={"price": 0.5, "topic": 0.5})
    >>> weighting.update(step, losses={"price": 1000.0, "topic": 0.5}, post_step_losses={})
    >>> weighting.compute_weights(step)
    {'price': 0.001, 'topic': 2.0}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import StepObservation, Weighting

_MIN_FRACTION = 1e-3
"""Smallest divisor as a fraction of the first loss, so that the weight of a solved task stays bounded."""
_MAX_RATIO = 100.0
"""A loss counts as at most this many times the average, so that a single outlier does not decide the weights."""
_MIN_LOSS = 1e-200
"""First losses up to this value count as 0, so that quotients are finite."""


class ScaleOptions(KindOptions):
    """Options of `Scale`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "ema_decay": "decay momentum beta smoothing ema",
    }

    renamed_keys: ClassVar[Mapping[str, str]] = {"keep": "ema_decay"}

    ema_decay: float = Field(0.99, ge=0, lt=1)
    """Decay factor of the moving average of a task's loss, per step."""


@WEIGHTINGS.register("scale", ScaleOptions)
@dataclass(kw_only=True)
class Scale(Weighting):
    """Loss normalisation: each loss divided by its moving average.

    Args:
        ema_decay: decay factor β of the moving average, from 0 to below 1.
    """

    other_names = "loss_normalization loss_normalisation"

    is_adaptive: ClassVar[bool] = True

    ema_decay: float

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        return {task: self._weight(task) for task in observation.label_fractions}

    def _weight(self, task: str) -> float:
        if task not in self.state:
            return 1.0
        first, average = self.state[task]
        return 1.0 / max(average, _MIN_FRACTION * first) if first > _MIN_LOSS else 1.0

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        for task, loss in losses.items():
            if not math.isfinite(loss):
                continue
            loss = max(loss, 0.0)
            first, average = self.state.get(task, (0.0, 0.0))
            if first <= _MIN_LOSS:
                first, average = loss, loss
            loss = min(loss, _MAX_RATIO * max(average, _MIN_FRACTION * first))
            self.state[task] = [first, self.ema_decay * average + (1 - self.ema_decay) * loss]

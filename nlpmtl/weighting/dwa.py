"""Dynamic Weight Average, DWA (Liu, Johns and Davison, 2019).

A task whose loss falls more slowly from epoch to epoch gets a larger weight.

    w_t(e) = K · exp(r_t(e) / T) / Σ_k exp(r_k(e) / T)        r_t(e) = L_t(e − 1) / L_t(e − 2)

Symbols:
- w_t(e): weight of task t in epoch e, counted from 0
- K: number of tasks
- r_t(e): relative descending rate of the loss of task t
- L_t(e): mean loss of task t over the steps of epoch e
- T: temperature, > 0; the larger, the closer the weights are to 1; 2 in the paper

Departures from the paper:
- In epochs 0 and 1 all weights are 1.
- r_t(e) = 1 for a task that has no labels in one of the two preceding epochs, or whose mean loss in the older one is
  not above 1e-200.
- A loss that is not finite is excluded from the means.

References:
    Liu, Johns and Davison (2019), End-to-End Multi-Task Learning with Attention, CVPR, equation 7,
        https://arxiv.org/abs/1803.10704

Example:
    >>> from nlpmtl.weighting import Dwa, StepObservation
    >>> weighting = Dwa(tasks=["topic", "sentiment"], epoch_steps=1, seed=0, temperature=2.0)
    >>> fractions = {"topic": 0.5, "sentiment": 0.5}
    >>> steps = [StepObservation(step=number, label_fractions=fractions) for number in range(3)]
    >>> weighting.update(steps[0], losses={"topic": 1.0, "sentiment": 1.0}, post_step_losses={})
    >>> weighting.update(steps[1], losses={"topic": 0.9, "sentiment": 0.5}, post_step_losses={})
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(steps[2]).items()}
    {'topic': 1.1, 'sentiment': 0.9}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import StepObservation, Weighting

_MIN_LOSS = 1e-200
"""Mean losses up to this value count as 0, so that ratios of losses are finite."""


class DwaOptions(KindOptions):
    """Options of `Dwa`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "temperature": "t tau temp",
    }

    temperature: float = Field(2.0, gt=0)
    """Temperature of the softmax over tasks; the larger, the closer the weights are to 1."""


@WEIGHTINGS.register("dwa", DwaOptions)
@dataclass(kw_only=True)
class Dwa(Weighting):
    """Dynamic Weight Average: larger weights for tasks whose loss falls more slowly (Liu et al., 2019).

    Args:
        temperature: T > 0.
    """

    other_names = "dynamic_weight_average dynamic_weight_averaging"

    is_adaptive: ClassVar[bool] = True

    temperature: float

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        older, newer = self._mean_losses(observation.step // self.epoch_steps)
        if older is None or newer is None:
            return dict.fromkeys(observation.label_fractions, 1.0)
        rates = {t: newer[t] / older[t] if t in newer and older.get(t, 0.0) > _MIN_LOSS else 1.0 for t in self.tasks}
        highest = max(rates.values())
        exponentials = {task: math.exp((rate - highest) / self.temperature) for task, rate in rates.items()}
        total = math.fsum(exponentials.values())
        return {task: len(self.tasks) * exponentials[task] / total for task in observation.label_fractions}

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        epoch = observation.step // self.epoch_steps
        epochs = {number: sums for number, sums in self.state.items() if int(number) >= epoch - 2}
        sums = dict(epochs.get(str(epoch), {}))
        for task, loss in losses.items():
            if not math.isfinite(loss):
                continue
            loss_sum, step_count = sums.get(task, (0.0, 0))
            sums[task] = [loss_sum + loss, step_count + 1]
        self.state = {**epochs, str(epoch): sums}

    def _mean_losses(self, epoch: int) -> list[dict[str, float] | None]:
        """Return the mean losses of the two epochs before `epoch`, older first; None for an epoch without losses."""
        epochs = (self.state.get(str(number)) for number in (epoch - 2, epoch - 1))
        return [None if sums is None else {task: s / n for task, (s, n) in sums.items()} for sums in epochs]

"""Homoscedastic uncertainty weighting (Kendall, Gal and Cipolla, 2018).

The observation noise of each task is learned, and a task with more noise gets a smaller weight.

    L = Σ_t s_t · (exp(−u_t) · L_t + u_t)        w_t = exp(−u_t)
    u_t ← u_t − η · s_t · (1 − exp(−u_t) · L_t)

Symbols:
- L: loss of the step
- s_t: fraction of the step's labels that belong to task t
- u_t: log variance log σ_t² of the noise of task t, learned, 0 at the start
- L_t: mean loss of task t in the step
- w_t: weight of task t
- η: option `lr`

Departures from the paper:
- L is twice the paper's loss, so that all weights start at 1.
- u_t is updated by gradient descent with its own learning rate instead of by the model's optimizer.
- u_t changes by at most 1 per step, so that a single outlier does not decide the weights for long, and stays between
  −50 and 50.
- A loss that is not finite does not change u_t.

References:
    Kendall, Gal and Cipolla (2018), Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
        Semantics, CVPR, equation 7 and the text below it, https://arxiv.org/abs/1705.07115

Example:
    >>> from nlpmtl.weighting import StepObservation, Uncertainty
    >>> weighting = Uncertainty(tasks=["topic", "sentiment"], epoch_steps=100, seed=0, lr=0.02)
    >>> step = StepObservation(step=0, label_fractions={"topic": 0.5, "sentiment": 0.5})
    >>> weighting.update(step, losses={"topic": 5.0, "sentiment": 0.5}, post_step_losses={})
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'topic': 0.961, 'sentiment': 1.005}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import StepObservation, Weighting

_MAX_LOG_VARIANCE = 50.0
"""Largest absolute log variance, so that the weights can be represented in single precision."""


class UncertaintyOptions(KindOptions):
    """Options of `Uncertainty`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "lr": "learning_rate",
    }

    lr: float = Field(0.02, gt=0)
    """Learning rate of the log variances (gradient descent)."""


@WEIGHTINGS.register("uncertainty", UncertaintyOptions)
@dataclass(kw_only=True)
class Uncertainty(Weighting):
    """Homoscedastic uncertainty weighting: smaller weights for tasks with more noise (Kendall et al., 2018).

    Args:
        lr: learning rate η of the log variances, > 0.
    """

    other_names = "kendall homoscedastic homoscedastic_uncertainty uncertainty_weighting"

    is_adaptive: ClassVar[bool] = True

    lr: float

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        return {task: math.exp(-self.state.get(task, 0.0)) for task in observation.label_fractions}

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        for task, weight in self.compute_weights(observation).items():
            if not math.isfinite(losses[task]):
                continue
            change = -self.lr * observation.label_fractions[task] * (1 - weight * losses[task])
            log_variance = self.state.get(task, 0.0) + min(max(change, -1.0), 1.0)
            self.state[task] = min(max(log_variance, -_MAX_LOG_VARIANCE), _MAX_LOG_VARIANCE)

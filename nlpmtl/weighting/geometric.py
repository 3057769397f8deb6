"""Geometric Loss Strategy, GLS (Chennupati et al., 2019).

The loss of a step is the geometric mean of the task losses, so that no task dominates because its loss is large.

    L = Π_t L_t^(s_t)        w_t = L / L_t

Symbols:
- L: loss of the step; its gradient is Σ_t s_t · (L / L_t) · ∇L_t, which gives the weights
- L_t: mean loss of task t in the step
- s_t: fraction of the step's labels that belong to task t
- w_t: weight of task t

The losses must be known before the backward pass, which takes one extra forward pass per step.

Departures from the paper:
- The exponents are s_t instead of 1 / K for K tasks; they are equal if all tasks have equally many labels.
- A loss below 1e-12 counts as 1e-12.
- If a loss of the step is negative or not finite, all weights of the step are 1.

References:
    Chennupati, Sistu, Yogamani and Rawashdeh (2019), MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss
        Strategy for Multi-Task Learning, CVPR Workshops, equation 2, https://arxiv.org/abs/1904.08492

Example:
    >>> from nlpmtl.weighting import Geometric, StepObservation
    >>> weighting = Geometric(tasks=["topic", "sentiment"], epoch_steps=100, seed=0)
    >>> fractions, losses = {"topic": 0.5, "sentiment": 0.5}, {"topic": 2.0, "sentiment": 0.5}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'topic': 0.5, 'sentiment': 2.0}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting.base import Requirement, StepObservation, Weighting, all_finite

_MIN_LOSS = 1e-12


@WEIGHTINGS.register("geometric")
@dataclass(kw_only=True)
class Geometric(Weighting):
    """Geometric Loss Strategy: the geometric mean of the task losses (Chennupati et al., 2019)."""

    other_names = "gls geometric_loss_strategy"

    requires: ClassVar[Requirement] = "losses"
    compares_tasks: ClassVar[bool] = True

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        if not all_finite(observation.losses.values()) or any(loss < 0 for loss in observation.losses.values()):
            return dict.fromkeys(observation.label_fractions, 1.0)
        losses = {task: max(loss, _MIN_LOSS) for task, loss in observation.losses.items()}
        fractions = observation.label_fractions
        total = math.exp(math.fsum(fraction * math.log(losses[task]) for task, fraction in fractions.items()))
        return {task: total / losses[task] for task in observation.label_fractions}

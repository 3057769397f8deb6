"""Random Loss Weighting, RLW (Lin et al., 2022): random weights in every step, a baseline for adaptive weightings.

    w = K · softmax(z)        z_t ~ N(0, 1)

Symbols:
- w: weights of all tasks
- K: number of tasks
- z: one independent sample of the standard normal distribution per task and step

The weights are a function of the seed and the number of the step, so a resumed run draws the same ones.

Departures from the paper:
- The weights sum to K instead of 1, like those of equal weighting.

References:
    Lin, Ye, Zhang and Tsang (2022), Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task
        Learning, TMLR, https://arxiv.org/abs/2111.10603

Example:
    >>> from nlpmtl.weighting import RandomWeights, StepObservation
    >>> weighting = RandomWeights(tasks=["topic", "sentiment"], epoch_steps=100, seed=0)
    >>> weights = weighting.compute_weights(StepObservation(step=0, label_fractions={"topic": 0.5, "sentiment": 0.5}))
    >>> {task: round(weight, 3) for task, weight in weights.items()}
    {'topic': 0.872, 'sentiment': 1.128}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting.base import StepObservation, Weighting


@WEIGHTINGS.register("random")
@dataclass(kw_only=True)
class RandomWeights(Weighting):
    """Random Loss Weighting: random weights in every step, a baseline (Lin et al., 2022)."""

    other_names = "rlw random_loss_weighting"

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        exponentials = np.exp(np.random.default_rng([self.seed, observation.step]).standard_normal(len(self.tasks)))
        values = (len(self.tasks) * exponentials / exponentials.sum()).tolist()
        weights = dict(zip(sorted(self.tasks), values, strict=True))
        return {task: weights[task] for task in observation.label_fractions}

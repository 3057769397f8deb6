"""A bandit: what was worth it is drawn more often."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, Memory, SamplingOptions, spread

_HISTORY = 100
"""Gains that are remembered."""


class Exp3Options(SamplingOptions):
    """The keys of `kind = "exp3"`."""

    gamma: float = Field(0.1, gt=0, le=1)
    """How fast it learns, and the share that is always spread evenly."""


@SAMPLERS.register("exp3", Exp3Options)
@dataclass(frozen=True, kw_only=True)
class Exp3(AdaptiveSampler):
    """EXP3 (Auer et al. 2002, figure 1), with the gain of a step on a data set as its reward.

        p_i = (1 − γ) w_i / Σ_j w_j + γ / K            w_i ← w_i · exp(γ / K · x_i / p_i · share_i)

    for K data sets. The gain of a step on a data set is by how much the loss of its tasks fell since its last rows, as
    a share of what it was (the prediction gain of Graves et al. 2017, Automated Curriculum Learning, section 3.1, on
    the next rows in place of the same ones). The reward x_i is that gain on a scale of which 0 and 1 are the 20th and
    80th percentiles of the last hundred gains, as theirs is (section 2.3). share_i, the share of the step's rows, is 1
    or 0 where a step takes all from one data set, as in the paper; mixed, every data set of the step is an arm that was
    drawn so often. A loss that is not finite teaches nothing.

    Args:
        gamma: γ, above 0, at most 1.
    """

    gamma: float

    def start(self) -> Memory:
        return {"log_weights": [0.0] * len(self.sizes), "losses": {}, "gains": []}

    def learn(self, memory: Memory, feedback: Feedback) -> Memory:
        before, p, rows = memory["losses"], self._probabilities(memory), sum(feedback.picks)
        losses = {task: loss for task, loss in feedback.losses.items() if math.isfinite(loss)}
        relative = {t: (before[t] - loss) / before[t] for t, loss in losses.items() if before.get(t, 0.0) > 0}
        gains = self.of_datasets({task: gain for task, gain in relative.items() if math.isfinite(gain)})
        history = [*memory["gains"], *(gain for gain in gains if gain is not None)][-_HISTORY:]
        grown = list(memory["log_weights"])
        for i, gain in enumerate(gains):
            if gain is not None and feedback.picks[i]:
                share = feedback.picks[i] / rows
                grown[i] += self.gamma / len(self.sizes) * _reward(gain, history) / p[i] * share
        highest = max(grown)  # only their differences count
        log_weights = [one - highest for one in grown]
        return {"log_weights": log_weights, "losses": {**before, **losses}, "gains": history}

    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        return self._probabilities(memory)

    def _probabilities(self, memory: Memory) -> tuple[float, ...]:
        return spread([math.exp(one) for one in memory["log_weights"]], explore=self.gamma)


def _reward(gain: float, history: list[float]) -> float:
    """Where a gain is between the low and the high ones, from 0 to 1."""
    low, high = np.quantile(history, (0.2, 0.8)).tolist()
    return min(max((gain - low) / (high - low), 0.0), 1.0) if high > low else 0.5

"""A bandit: what was worth it is drawn more often."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, Memory, SamplingOptions, spread


class Exp3Options(SamplingOptions):
    """The keys of `kind = "exp3"`."""

    gamma: float = Field(0.1, gt=0, le=1)
    """How fast it learns, and the share that is always spread evenly."""


@SAMPLERS.register("exp3", Exp3Options)
@dataclass(frozen=True, kw_only=True)
class Exp3(AdaptiveSampler):
    """EXP3 (Auer et al. 2002, figure 1), with the gain of a step on a data set as its reward.

        p_i = (1 − γ) w_i / Σ_j w_j + γ / K            w_i ← w_i · exp(γ / K · x_i / p_i · share_i)

    for K data sets. The gain is by how much the loss of the data set's tasks fell since its last rows, as a share of
    what it was, from −1 to 1 (the prediction gain of Graves et al. 2017, section 3.1, on the next rows in place of the
    same ones); the reward x_i = (1 + gain) / 2. share_i, the share of the step's rows, is 1 or 0 where a step takes all
    from one data set, as in the paper; mixed, every data set of the step is an arm that was drawn so often.

    Args:
        gamma: γ, above 0, at most 1.
    """

    gamma: float

    def start(self) -> Memory:
        return {"log_weights": [0.0] * len(self.sizes), "losses": {}}

    def learn(self, memory: Memory, feedback: Feedback) -> Memory:
        before = memory["losses"]
        gains = {
            task: max(-1.0, min(1.0, (before[task] - loss) / before[task]))
            for task, loss in feedback.losses.items()
            if before.get(task, 0.0) > 0
        }
        p, rows, many = self._probabilities(memory), sum(feedback.picks), len(self.sizes)
        grown = list(memory["log_weights"])
        for i, gain in enumerate(self.of_datasets(gains)):
            if gain is not None and feedback.picks[i]:
                grown[i] += self.gamma / many * (1 + gain) / 2 / p[i] * feedback.picks[i] / rows
        highest = max(grown)  # only their differences count
        return {"log_weights": [one - highest for one in grown], "losses": {**before, **feedback.losses}}

    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        return self._probabilities(memory)

    def _probabilities(self, memory: Memory) -> tuple[float, ...]:
        return spread([math.exp(one) for one in memory["log_weights"]], explore=self.gamma)

"""EXP3 bandit over datasets (Auer et al., 2002), rewarded by the decrease of the loss (Graves et al., 2017).

    p_i = (1 − γ) · w_i / Σ_j w_j + γ / K        w_i ← w_i · exp(γ / K · x_i / p_i · a_i)
    x_i = clip((g_i − q_20) / (q_80 − q_20), 0, 1)        g_i = mean_t (L_t(before) − L_t) / L_t(before)

Symbols:
- p_i: probability of dataset i; K: number of datasets
- w_i: weight of dataset i, 1 at the start
- γ: option `gamma`, exploration rate and learning rate, from above 0 to 1
- x_i: reward of dataset i, from 0 to 1
- a_i: fraction of the step's rows that come from dataset i
- g_i: prediction gain of dataset i, the relative decrease of its tasks' losses; mean over the tasks t of the dataset
- L_t: mean loss of task t in the step; L_t(before): its loss in the last step that had labels for it
- q_20, q_80: 20th and 80th percentiles of the last 100 gains; x_i = 0.5 if they are equal

Departures from the papers:
- The gain compares the losses of different rows; Graves et al. evaluate the same rows twice (section 3.1).
- In a step that mixes datasets, each of them is rewarded, in proportion to its rows. With `batches = "single"`, a_i
  is 1 or 0 as in Auer et al.
- A loss that is not finite is ignored.

References:
    Auer, Cesa-Bianchi, Freund and Schapire (2002), The Nonstochastic Multiarmed Bandit Problem, SIAM Journal on
        Computing 32, figure 1, https://doi.org/10.1137/S0097539701398375
    Graves, Bellemare, Menick, Munos and Kavukcuoglu (2017), Automated Curriculum Learning for Neural Networks, ICML,
        sections 2.3 and 3.1, https://arxiv.org/abs/1704.03003

Example:
    >>> from nlpmtl.sampling import Exp3, Feedback
    >>> tasks = [["topic"], ["sentiment"]]
    >>> sampler = Exp3(
    ...     sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0, tasks=tasks, gamma=0.1
    ... )
    >>> state = sampler.initial_state()
    >>> for losses in ({"topic": 1.0, "sentiment": 1.0}, {"topic": 0.5, "sentiment": 1.0}):
    ...     state = sampler.update(state, Feedback(rows_per_dataset=[5, 5], losses=losses, uncertainties={}))
    >>> [round(p, 3) for p in sampler.probabilities_after(2, state)]
    [0.511, 0.489]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, SamplerState, SamplingOptions, mix_with_uniform

_HISTORY = 100
"""Number of gains from which the percentiles are computed."""


class Exp3Options(SamplingOptions):
    """Options of `Exp3`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "gamma": "epsilon eps explore exploration exploration_rate",
    }

    gamma: float = Field(0.1, gt=0, le=1)
    """Exploration rate: fraction of the probability that is spread evenly over the datasets; also the learning rate."""


@SAMPLERS.register("exp3", Exp3Options)
@dataclass(frozen=True, kw_only=True)
class Exp3(AdaptiveSampler):
    """EXP3 bandit over datasets, rewarded by the decrease of the loss (Auer et al., 2002).

    Args:
        gamma: exploration rate γ, above 0, at most 1.
    """

    other_names = "bandit"

    gamma: float

    def initial_state(self) -> SamplerState:
        return {"log_weights": [0.0] * len(self.sizes), "losses": {}, "gains": []}

    def update(self, state: SamplerState, feedback: Feedback) -> SamplerState:
        before, p, rows = state["losses"], self._probabilities(state), sum(feedback.rows_per_dataset)
        losses = {task: loss for task, loss in feedback.losses.items() if math.isfinite(loss)}
        relative = {t: (before[t] - loss) / before[t] for t, loss in losses.items() if before.get(t, 0.0) > 0}
        gains = self.per_dataset({task: gain for task, gain in relative.items() if math.isfinite(gain)})
        history = [*state["gains"], *(gain for gain in gains if gain is not None)][-_HISTORY:]
        log_weights = list(state["log_weights"])
        for i, gain in enumerate(gains):
            if gain is not None and feedback.rows_per_dataset[i]:
                fraction = feedback.rows_per_dataset[i] / rows
                log_weights[i] += self.gamma / len(self.sizes) * _reward(gain, history) / p[i] * fraction
        highest = max(log_weights)  # subtracted, so that exponentials do not overflow
        shifted = [log_weight - highest for log_weight in log_weights]
        return {"log_weights": shifted, "losses": {**before, **losses}, "gains": history}

    def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
        return self._probabilities(state)

    def _probabilities(self, state: SamplerState) -> tuple[float, ...]:
        return mix_with_uniform([math.exp(log_weight) for log_weight in state["log_weights"]], epsilon=self.gamma)


def _reward(gain: float, history: list[float]) -> float:
    """Return the gain on a scale from 0 (20th percentile of the history) to 1 (80th percentile)."""
    low, high = np.quantile(history, (0.2, 0.8)).tolist()
    return min(max((gain - low) / (high - low), 0.0), 1.0) if high > low else 0.5

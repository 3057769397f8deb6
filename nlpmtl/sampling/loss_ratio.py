"""Sampling by inverse training rate: datasets that learn more slowly are drawn more often (after GradNorm).

    p_i = (1 − ε) · r_i^(1/T) / Σ_j r_j^(1/T) + ε / D        r_i = mean_t L_t / L_t(0)

Symbols:
- p_i: probability of dataset i; D: number of datasets
- ε: option `epsilon`, from above 0 to 1
- r_i: inverse training rate of dataset i, mean over its tasks t; 1 for a dataset without losses so far
- T: option `temperature`, > 0
- L_t: exponential moving average of the loss of task t, with the decay factor `ema_decay`
- L_t(0): mean loss of task t over the first ten steps that have labels for it

Chen et al. define the inverse training rate to weight losses (section 3.1). Here it decides how often rows are drawn.

Limits:
- A loss counts as at most 100 times the average, so that a single outlier does not decide the draws for long.
- A negative loss counts as 0, and a loss that is not finite is ignored.

References:
    Chen, Badrinarayanan, Lee and Rabinovich (2018), GradNorm: Gradient Normalization for Adaptive Loss Balancing in
        Deep Multitask Networks, ICML, https://arxiv.org/abs/1711.02257

Example:
    >>> from nlpmtl.sampling import Feedback, LossRatio
    >>> sampler = LossRatio(
    ...     sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0,
    ...     tasks=[["topic"], ["sentiment"]], temperature=1.0, ema_decay=0.0, epsilon=0.1,
    ... )
    >>> state = sampler.initial_state()
    >>> for loss in (1.0, 0.25):
    ...     losses = {"topic": loss, "sentiment": 1.0}
    ...     state = sampler.update(state, Feedback(rows_per_dataset=[5, 5], losses=losses, uncertainties={}))
    >>> [round(p, 3) for p in sampler.probabilities_after(2, state)]
    [0.307, 0.693]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, SamplerState, SamplingOptions, ema, mix_with_uniform

_FIRST_STEPS = 10
"""Number of steps over which the first loss of a task is averaged."""
_MAX_RATIO = 100.0
"""A loss counts as at most this many times the average, so that a single outlier does not decide the draws for long."""


class LossRatioOptions(SamplingOptions):
    """Options of `LossRatio`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "temperature": "t tau temp",
        "ema_decay": "decay momentum beta alpha smoothing ema ema_alpha",
        "epsilon": "eps exploration exploration_rate gamma",
    }

    renamed_keys: ClassVar[Mapping[str, str]] = {"keep": "ema_decay", "explore": "epsilon"}

    temperature: float = Field(1.0, gt=0)
    """Sampling temperature; the larger, the closer to uniform."""
    ema_decay: float = Field(0.95, ge=0, lt=1)
    """Decay factor of the moving average of a task's loss, per step."""
    epsilon: float = Field(0.1, gt=0, le=1)
    """Fraction of the probability that is spread evenly over the datasets, so that none is forgotten."""


@SAMPLERS.register("loss_ratio", LossRatioOptions)
@dataclass(frozen=True, kw_only=True)
class LossRatio(AdaptiveSampler):
    """Sampling by inverse training rate: slowly learned datasets are drawn more often.

    Args:
        temperature: T > 0.
        ema_decay: decay factor of the moving average, from 0 to below 1.
        epsilon: ε, above 0, at most 1.
    """

    temperature: float
    ema_decay: float
    epsilon: float

    def initial_state(self) -> SamplerState:
        return {"first": {}, "seen": {}, "now": {}}

    def update(self, state: SamplerState, feedback: Feedback) -> SamplerState:
        first, step_counts, now = (dict[str, Any](state[key]) for key in ("first", "seen", "now"))
        for task, loss in feedback.losses.items():
            if not math.isfinite(loss):
                continue
            average = max(now.get(task, 0.0), first.get(task, 0.0) / _MAX_RATIO)
            loss = min(max(loss, 0.0), _MAX_RATIO * average) if average > 0 else max(loss, 0.0)
            steps = step_counts.get(task, 0)
            if steps < _FIRST_STEPS:
                first[task] = (first.get(task, 0.0) * steps + loss) / (steps + 1)
                step_counts[task] = steps + 1
            now[task] = ema(now.get(task), loss, decay=self.ema_decay)
        return {"first": first, "seen": step_counts, "now": now}

    def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
        first = state["first"]
        by_task = {task: now / first[task] for task, now in state["now"].items() if first[task] > 0}
        ratios = [1.0 if ratio is None else max(ratio, 0.0) for ratio in self.per_dataset(by_task)]
        largest = max(ratios) or 1.0  # only quotients of the ratios matter, and powers of large ratios overflow
        return mix_with_uniform([(ratio / largest) ** (1 / self.temperature) for ratio in ratios], epsilon=self.epsilon)

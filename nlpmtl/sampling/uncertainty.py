"""Uncertainty sampling of datasets: datasets with less certain predictions are drawn more often (after CA-MTL).

    p_i = (1 − ε) · U_i / Σ_j U_j + ε / D        U_i = mean_t H_t / H_t,max

Symbols:
- p_i: probability of dataset i; D: number of datasets
- ε: option `epsilon`, from above 0 to 1
- U_i: uncertainty of dataset i, mean over its tasks t, each a moving average with the decay factor `ema_decay`
- H_t: entropy of the predicted distribution on the rows of task t; H_t,max: the largest possible entropy

A dataset takes the mean uncertainty of the others if it has not been drawn yet, or if all its tasks are regressions,
which have no entropy.

Departures from the paper:
- CA-MTL scores the rows of a larger batch and trains on the most uncertain ones. Here datasets are chosen, by the
  uncertainty of rows that are trained on anyway, without an extra forward pass.

References:
    Pilault, Elhattami and Pal (2021), Conditionally Adaptive Multi-Task Learning: Improving Transfer Learning in NLP
        Using Fewer Parameters & Less Data, ICLR, section 2.3, https://arxiv.org/abs/2009.09139

Example:
    >>> from nlpmtl.sampling import Feedback, Uncertainty
    >>> sampler = Uncertainty(
    ...     sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0,
    ...     tasks=[["topic"], ["sentiment"]], ema_decay=0.95, epsilon=0.1,
    ... )
    >>> feedback = Feedback(rows_per_dataset=[5, 5], losses={}, uncertainties={"topic": 0.9, "sentiment": 0.3})
    >>> [round(p, 3) for p in sampler.probabilities_after(1, sampler.update(sampler.initial_state(), feedback))]
    [0.725, 0.275]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, SamplerState, SamplingOptions, ema, mean, mix_with_uniform


class UncertaintyOptions(SamplingOptions):
    """Options of `Uncertainty`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "ema_decay": "decay momentum beta alpha smoothing ema ema_alpha",
        "epsilon": "eps exploration exploration_rate gamma",
    }

    renamed_keys: ClassVar[Mapping[str, str]] = {"keep": "ema_decay", "explore": "epsilon"}

    ema_decay: float = Field(0.95, ge=0, lt=1)
    """Decay factor of the moving average of a task's uncertainty, per step."""
    epsilon: float = Field(0.1, gt=0, le=1)
    """Fraction of the probability that is spread evenly over the datasets, so that none is forgotten."""


@SAMPLERS.register("uncertainty", UncertaintyOptions)
@dataclass(frozen=True, kw_only=True)
class Uncertainty(AdaptiveSampler):
    """Uncertainty sampling: datasets with less certain predictions are drawn more often.

    Args:
        ema_decay: decay factor of the moving average, from 0 to below 1.
        epsilon: ε, above 0, at most 1.
    """

    needs_uncertainties: ClassVar[bool] = True

    ema_decay: float
    epsilon: float

    def initial_state(self) -> SamplerState:
        return {"now": {}}

    def update(self, state: SamplerState, feedback: Feedback) -> SamplerState:
        now = state["now"]
        current = {task: max(value, 0.0) for task, value in feedback.uncertainties.items() if math.isfinite(value)}
        averages = {task: ema(now.get(task), value, decay=self.ema_decay) for task, value in current.items()}
        return {"now": {**now, **averages}}

    def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
        values = self.per_dataset(state["now"])
        average = mean(value for value in values if value is not None)
        default = 1.0 if average is None else average
        return mix_with_uniform([default if value is None else value for value in values], epsilon=self.epsilon)

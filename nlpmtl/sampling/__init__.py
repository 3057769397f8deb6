"""Sampling: which dataset and which row each row of a training step comes from.

>>> from nlpmtl.registry import SAMPLERS
>>> from nlpmtl.sampling import build_plan
>>> options = SAMPLERS.parse({"kind": "temperature", "temperature": 2.0})
>>> plan = build_plan(
...     options, names=["small", "large"], sizes=[100, 10_000], total_steps=600, epoch_steps=200, batch_size=11, seed=17
... )
>>> plan.sampler.probabilities(0)
(0.09090909090909091, 0.9090909090909091)
>>> step, cursor = plan.next(plan.start())
>>> cursor.rows_per_dataset
(2, 9)
>>> len(step.rows)
11

A custom sampler is a class with the method `probabilities`, registered with options that derive from `SamplingOptions`;
a sampler that adapts during training derives from `AdaptiveSampler`.
"""

from __future__ import annotations

from nlpmtl.sampling.annealed import Annealed
from nlpmtl.sampling.base import AdaptiveSampler, Batches, Feedback, Sampler, SamplerState, SamplingOptions
from nlpmtl.sampling.curriculum import Phase, Phases, PhasesOptions
from nlpmtl.sampling.examples_proportional import Capped, CappedOptions
from nlpmtl.sampling.exp3 import Exp3, Exp3Options
from nlpmtl.sampling.loss_ratio import LossRatio, LossRatioOptions
from nlpmtl.sampling.plan import Cursor, Plan, RowRef, StepPlan, build_plan, build_sampler
from nlpmtl.sampling.proportional import Proportional
from nlpmtl.sampling.round_robin import RoundRobin
from nlpmtl.sampling.temperature import Temperature, TemperatureOptions
from nlpmtl.sampling.uncertainty import Uncertainty, UncertaintyOptions
from nlpmtl.sampling.uniform import Uniform
from nlpmtl.sampling.unimax import UniMax, UniMaxOptions

__all__ = [
    "AdaptiveSampler",
    "Annealed",
    "Batches",
    "Capped",
    "CappedOptions",
    "Cursor",
    "Exp3",
    "Exp3Options",
    "Feedback",
    "LossRatio",
    "LossRatioOptions",
    "Phase",
    "Phases",
    "PhasesOptions",
    "Plan",
    "Proportional",
    "RoundRobin",
    "RowRef",
    "Sampler",
    "SamplerState",
    "SamplingOptions",
    "StepPlan",
    "Temperature",
    "TemperatureOptions",
    "Uncertainty",
    "UncertaintyOptions",
    "UniMax",
    "UniMaxOptions",
    "Uniform",
    "build_plan",
    "build_sampler",
]

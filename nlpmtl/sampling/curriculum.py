"""Curriculum over datasets: the run is divided into phases, each of which draws from some of the datasets.

    p_i ∝ n_i^(1/T) if dataset i belongs to the phase of the step, otherwise p_i = 0

Symbols:
- p_i: probability of dataset i
- n_i: number of train rows of dataset i
- T: option `temperature`, > 0

By default the run trains on the large datasets for half of the steps, and then on all of them. Choi et al. find that
pre-training on high-resource tasks and then fine-tuning on all tasks helps the low-resource tasks.

Departures from the paper:
- The paper has two training stages, pre-training and fine-tuning. Here they are phases of one run with one
  learning-rate schedule.
- A dataset is large if it has at least as many rows as the geometric mean of all datasets.

References:
    Choi, Xin, Dadkhahi, Gilmer, Garg, Firat, Yeh, Dai and Ghorbani (2023), Order Matters in the Presence of Dataset
        Imbalance for Multilingual Learning, NeurIPS, https://arxiv.org/abs/2312.06134

Example:
    >>> from nlpmtl.sampling import Phases
    >>> sampler = Phases(
    ...     sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0, names=["small", "large"],
    ...     phases=None, temperature=1.0,
    ... )
    >>> [tuple(round(p, 3) for p in sampler.probabilities(step)) for step in (0, 150)]
    [(0.0, 1.0), (0.1, 0.9)]
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize_power
from nlpmtl.strict_model import StrictModel


class Phase(StrictModel):
    """One phase of the curriculum."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "datasets": "names tasks dataset",
        "until": "end to fraction stop",
    }

    datasets: tuple[str, ...] = ()
    """Names of the datasets to draw from; default: all."""
    until: float = Field(1.0, gt=0, le=1)
    """End of the phase, as a fraction of all steps."""


class PhasesOptions(SamplingOptions):
    """Options of `Phases`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "phases": "stages schedule curriculum",
        "temperature": "t tau temp sampling_temperature",
        "temperature, which is 1 / alpha": "alpha exponent power smoothing smoothing_factor",
    }

    phases: tuple[Phase, ...] | None = Field(None, min_length=1)
    """Phases in their order, each `{ datasets = […], until = 0.5 }`; default: the large datasets (at least as many rows
    as the geometric mean) for half of the steps, then all."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature T within a phase: a dataset of n rows is drawn in proportion to n^(1/T)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ends = [phase.until for phase in self.phases or ()]
        if ends and (ends != sorted(set(ends)) or ends[-1] != 1.0):
            raise ValueError(f"phases: each must end later than the one before, the last at 1.0; found {ends}")
        return self

    def restrict(self, datasets: Collection[str]) -> Self:
        """Return the options without other datasets. A phase that has only these is excluded."""
        if self.phases is None:
            return self
        left = [(phase, tuple(name for name in phase.datasets if name in datasets)) for phase in self.phases]
        kept = [phase.model_copy(update={"datasets": names}) for phase, names in left if names or not phase.datasets]
        *first, last = kept or [Phase()]
        kept = [*first, last.model_copy(update={"until": 1.0})]
        return self.model_copy(update={"phases": tuple(kept)})


@SAMPLERS.register("phases", PhasesOptions)
@dataclass(frozen=True, kw_only=True)
class Phases(Sampler):
    """Curriculum: phases of the run with different datasets (Choi et al., 2023).

    Args:
        phases: phases in their order; None: the large datasets for half of the steps, then all.
        temperature: T > 0.

    Raises:
        ConfigError: a phase names a dataset that the run does not have.
    """

    other_names = "curriculum"

    phases: Sequence[Phase] | None
    temperature: float

    def __post_init__(self) -> None:
        for number, phase in enumerate(self.phases or ()):
            for name in phase.datasets:
                if name not in self.names:
                    raise ConfigError(
                        f"sampling.phases.{number}.datasets: no dataset {name!r}; {did_you_mean(name, self.names)}"
                    )

    def probabilities(self, step: int) -> tuple[float, ...]:
        sizes = [size if drawn else 0 for size, drawn in zip(self.sizes, self._drawn(step), strict=True)]
        return normalize_power(sizes, exponent=1 / self.temperature)

    def _end(self, phase: Phase) -> Fraction:
        """Return the step at which a phase ends; its `until` is a decimal fraction, not the nearest binary one."""
        return Fraction(str(phase.until)) * self.total_steps

    def _drawn(self, step: int) -> list[bool]:
        """Return whether each dataset belongs to the phase of a step."""
        if self.phases is None:
            if step >= self.total_steps / 2:
                return [True] * len(self.sizes)
            mean_log_size = math.fsum(sorted(map(math.log, self.sizes))) / len(self.sizes)
            return [math.log(size) >= mean_log_size - 1e-9 for size in self.sizes]  # equal sizes are all large
        phase = next(phase for phase in self.phases if step < self._end(phase) or phase.until == 1.0)
        return [not phase.datasets or name in phase.datasets for name in self.names]

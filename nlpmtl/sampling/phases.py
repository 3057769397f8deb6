"""Some data sets first, then others, or all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize
from nlpmtl.table import Table


class Phase(Table):
    """A part of the run."""

    datasets: tuple[str, ...] = ()
    """The names of the datasets that are drawn from; left out: all."""
    until: float = Field(1.0, gt=0, le=1)
    """The share of all steps after which it ends."""


class PhasesOptions(SamplingOptions):
    """The keys of `kind = "phases"`."""

    phases: tuple[Phase, ...] = ()
    """Each `{ datasets = […], until = 0.5 }`, in their order; left out: the large datasets for half of the steps (those
    with at least as many rows as the geometric mean), then all."""
    temperature: float = Field(1.0, gt=0)
    """In each phase a dataset of n rows is drawn in proportion to n^(1/temperature)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ends = [phase.until for phase in self.phases]
        if ends and (ends != sorted(set(ends)) or ends[-1] != 1.0):
            raise ValueError(f"phases: each must end later than the one before, the last at 1.0; found {ends}")
        return self


@SAMPLERS.register("phases", PhasesOptions)
@dataclass(frozen=True, kw_only=True)
class Phases(Sampler):
    """One set of data sets after another; within a phase, p ∝ n^(1/T).

    Training on the large tasks first and then on the mixture helps the small ones (Choi et al. 2023, Order Matters in
    the Presence of Dataset Imbalance for Multilingual Learning).

    Args:
        phases: in their order.
        temperature: T > 0.

    Raises:
        ConfigError: a phase names a data set that the run does not have.
    """

    phases: Sequence[Phase]
    temperature: float

    def __post_init__(self) -> None:
        for number, phase in enumerate(self.phases):
            for name in phase.datasets:
                if name not in self.names:
                    raise ConfigError(
                        f"sampling.phases.{number}.datasets: no dataset {name!r}; {did_you_mean(name, self.names)}"
                    )

    def probabilities(self, step: int) -> tuple[float, ...]:
        largest = max(self.sizes)
        weights = [(size / largest) ** (1 / self.temperature) for size in self.sizes]
        return normalize([weight if drawn else 0.0 for weight, drawn in zip(weights, self._drawn(step), strict=True)])

    def _drawn(self, step: int) -> list[bool]:
        """Whether each data set is drawn from in a step."""
        if not self.phases:
            if step >= self.total_steps / 2:
                return [True] * len(self.sizes)
            usual = math.fsum(sorted(map(math.log, self.sizes))) / len(self.sizes)
            return [math.log(size) >= usual - 1e-9 for size in self.sizes]  # of equal sizes, all are
        phase = next(phase for phase in self.phases if step < phase.until * self.total_steps or phase.until == 1.0)
        return [not phase.datasets or name in phase.datasets for name in self.names]

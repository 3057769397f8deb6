"""As uniform as a limit on repeats allows."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


class UniMaxOptions(SamplingOptions):
    """The keys of `kind = "unimax"`."""

    max_epochs: float = Field(4.0, gt=0)
    """How many times the run may go through a data set, at most."""


@SAMPLERS.register("unimax", UniMaxOptions)
@dataclass(frozen=True, kw_only=True)
class UniMax(Sampler):
    """Uniform, but no data set is gone through more than N times in the run.

    UniMax (Chung et al. 2023, UniMax: Fairer and more Effective Language Sampling for Large-Scale Multilingual
    Pretraining): from the smallest data set to the largest, each gets min(B / d, N · n), where B is what is left of the
    budget, d how many data sets are left, this one included, and n its train rows; p is in proportion to that. The
    budget is all rows of the run: total_steps · rows_per_step. Where all the limits together stay below the budget,
    p ∝ N · n: the run is too long for the limit, and goes through every data set equally often, more than N times.

    The paper counts characters, and this rows; the default N is a choice of this library.

    Args:
        max_epochs: N > 0.
    """

    max_epochs: float

    def probabilities(self, step: int) -> tuple[float, ...]:
        shares = [0.0] * len(self.sizes)
        budget = float(self.total_steps * self.rows_per_step)
        ascending = sorted(range(len(self.sizes)), key=lambda index: self.sizes[index])
        for done, index in enumerate(ascending):
            shares[index] = min(budget / (len(ascending) - done), self.sizes[index] * self.max_epochs)
            budget -= shares[index]
        return normalize(shares)

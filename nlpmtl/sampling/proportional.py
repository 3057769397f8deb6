"""Every data set in proportion to its rows."""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


@SAMPLERS.register("proportional", SamplingOptions)
class Proportional(Sampler):
    """p ∝ n, for n train rows: every row is used equally often, as if all data sets were one."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize(self.sizes)

"""Every data set equally often."""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


@SAMPLERS.register("uniform", SamplingOptions)
class Uniform(Sampler):
    """p ∝ 1, whatever the sizes: the rows of a small data set are repeated more."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([1.0] * len(self.sizes))

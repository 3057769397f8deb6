"""One data set after the other."""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Memory, Sampler, SamplingOptions, normalize


@SAMPLERS.register("round_robin", SamplingOptions)
class RoundRobin(Sampler):
    """Strict rotation: pick k takes data set k mod D, of D; p ∝ 1, and the seed changes nothing."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([1.0] * len(self.sizes))

    def choose(self, first: int, count: int, *, step: int, memory: Memory | None = None) -> list[int]:
        return [pick % len(self.sizes) for pick in range(first, first + count)]

"""Round-robin sampling: datasets are drawn in a fixed rotation.

    dataset of draw k = k mod D        p_i = 1 / D

Symbols:
- k: number of the draw, counted from 0; with `batches = "single"` a draw is a step
- D: number of datasets
- p_i: probability of dataset i

The seed has no effect on which dataset is drawn.

Example:
    >>> from nlpmtl.sampling import RoundRobin
    >>> sampler = RoundRobin(sizes=[100, 900, 50], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0)
    >>> sampler.draw(0, 5, step=0)
    [0, 1, 2, 0, 1]
"""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplerState, SamplingOptions, normalize


@SAMPLERS.register("round_robin", SamplingOptions)
class RoundRobin(Sampler):
    """Round-robin sampling: datasets in a fixed rotation."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([1.0] * len(self.sizes))

    def draw(self, first: int, count: int, *, step: int, state: SamplerState | None = None) -> list[int]:
        return [number % len(self.sizes) for number in range(first, first + count)]

"""What a sampler is: how probable each data set is, and which one every pick takes.

It knows nothing of rows, batches or ranks: see `plan`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

import numpy as np

from nlpmtl.registry import Options

Batches = Literal["mixed", "single"]

BITS = 64
GOLDEN = 0x9E3779B97F4A7C15
"""⌊2^64 / φ⌋, φ the golden ratio."""


class SamplingOptions(Options):
    """The keys that every sampler understands."""

    batches: Batches = "mixed"
    """"mixed": every row of a step is picked by itself; "single": all rows of a step come from one data set."""


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """Chooses the data set of every pick: a pure function of the pick's number, the step and the arguments.

    The default is the additive recurrence (Kronecker or Weyl sequence) of the golden ratio φ, in integers:

        x_k = (x_0 + k · ⌊2^64/φ⌋) mod 2^64

    x_0 comes from the seed, and pick k takes the data set whose interval of the cumulated probabilities holds
    x_k / 2^64. After N picks at fixed probabilities, the count of a data set differs from N · p by O(log N), where that
    of independent draws differs by O(√N): 1/φ has bounded partial quotients (Niederreiter 1992, Random Number
    Generation and Quasi-Monte Carlo Methods, chapter 3). A data set of probability 0 is never picked.

    Args:
        sizes: train rows of each data set, all ≥ 1.
        total_steps: optimizer steps of the run.
        epoch_steps: optimizer steps of one epoch.
        rows_per_step: rows that a step takes, each by its own pick ("mixed") or all by one ("single").
        seed: ≥ 0.
    """

    sizes: Sequence[int]
    total_steps: int
    epoch_steps: int
    rows_per_step: int
    seed: int

    @abstractmethod
    def probabilities(self, step: int) -> tuple[float, ...]:
        """How probable each data set is in a step (counted from 0); they sum to 1."""

    def choose(self, first: int, count: int, *, step: int) -> list[int]:
        """The data sets, as indices, of the picks first … first + count − 1, all of them in one step."""
        # Whole numbers, and scaled by their own sum: rounding can neither leave a gap nor widen an empty interval.
        bounds = list(accumulate(int(math.ldexp(p, BITS)) for p in self.probabilities(step)))
        picks = range(first, first + count)
        return [bisect_right(bounds, self._point(pick) * bounds[-1] >> BITS) for pick in picks]

    def _point(self, pick: int) -> int:
        return (self._start + pick * GOLDEN) % (1 << BITS)

    @cached_property
    def _start(self) -> int:
        words = np.random.SeedSequence(self.seed).generate_state(1, np.uint64)
        return int(words[0])


def normalize(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights (≥ 0, not all 0) as probabilities; the order of the weights changes none of them."""
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def normalize_power(sizes: Sequence[int], *, exponent: float) -> tuple[float, ...]:
    """The probabilities p ∝ n^exponent, for any exponent ≥ 0 without overflow."""
    largest = max(sizes)
    return normalize([(size / largest) ** exponent for size in sizes])

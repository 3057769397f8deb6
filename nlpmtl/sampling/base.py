"""What a sampler is: how probable each data set is, and which one every pick takes.

It knows nothing of rows, batches or ranks: see `plan`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np

from nlpmtl.registry import Options

Batches = Literal["mixed", "single"]
Memory = Mapping[str, Any]
"""What a sampler keeps of a run: a few numbers, as JSON holds them."""

BITS = 64
GOLDEN = 0x9E3779B97F4A7C15
"""⌊2^64 / φ⌋, φ the golden ratio."""


class SamplingOptions(Options):
    """The keys that every sampler understands."""

    batches: Batches = "mixed"
    """"mixed": every row of a step is picked by itself; "single": all rows of a step come from one data set."""


@dataclass(frozen=True)
class Feedback:
    """What a step showed, over all processes.

    Args:
        picks: rows that were taken from each data set.
        losses: the mean loss of each task that had rows.
        uncertainties: the mean uncertainty of its answers, from 0 to 1, of each of them whose kind has one; empty
            unless the sampler `needs_uncertainties`.
    """

    picks: Sequence[int]
    losses: Mapping[str, float]
    uncertainties: Mapping[str, float]


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
        names: of the data sets.
        tasks: the names of the tasks that are labelled on each.
    """

    sizes: Sequence[int]
    total_steps: int
    epoch_steps: int
    rows_per_step: int
    seed: int
    names: Sequence[str] = ()
    tasks: Sequence[Sequence[str]] = ()

    @abstractmethod
    def probabilities(self, step: int) -> tuple[float, ...]:
        """How probable each data set is in a step (counted from 0); they sum to 1."""

    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        """The same, for a sampler that learns: after what it remembers."""
        return self.probabilities(step)

    def choose(self, first: int, count: int, *, step: int, memory: Memory | None = None) -> list[int]:
        """The data sets, as indices, of the picks first … first + count − 1, all of them in one step."""
        p = self.probabilities(step) if memory is None else self.probabilities_after(step, memory)
        # Whole numbers, and scaled by their own sum: rounding can neither leave a gap nor widen an empty interval.
        bounds = list(accumulate(int(math.ldexp(one, BITS)) for one in p))
        picks = range(first, first + count)
        return [bisect_right(bounds, self._point(pick) * bounds[-1] >> BITS) for pick in picks]

    def _point(self, pick: int) -> int:
        return (self._start + pick * GOLDEN) % (1 << BITS)

    @cached_property
    def _start(self) -> int:
        words = np.random.SeedSequence(self.seed).generate_state(1, np.uint64)
        return int(words[0])


class AdaptiveSampler(Sampler):
    """A sampler that learns from what steps showed.

    It is told of every step before the next is planned, in all processes alike. What it remembers is saved with the
    place in the plan where it was remembered, so a run that is resumed goes on as if it had never stopped. A step that
    was left out teaches nothing.
    """

    needs_uncertainties: ClassVar[bool] = False
    """Whether it asks how sure the answers of a step were."""

    @abstractmethod
    def start(self) -> Memory:
        """What it remembers before the first step."""

    @abstractmethod
    def learn(self, memory: Memory, feedback: Feedback) -> Memory:
        """What it remembers after a step; the memory before is left as it was."""

    @abstractmethod
    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        """How probable each data set is in a step, after what it remembers."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        """As long as nothing was learned."""
        return self.probabilities_after(step, self.start())

    def of_datasets(self, values: Mapping[str, float]) -> list[float | None]:
        """The mean of the values of each data set's tasks; None where none of them has one."""
        return [mean(values[task] for task in tasks if task in values) for tasks in self._tasks]

    @property
    def _tasks(self) -> Sequence[Sequence[str]]:
        return self.tasks or [()] * len(self.sizes)


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def blend(old: float | None, new: float, *, keep: float) -> float:
    """An exponential moving average, after another value."""
    return new if old is None else keep * old + (1 - keep) * new


def normalize(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights (≥ 0, not all 0) as probabilities; the order of the weights changes none of them."""
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def normalize_power(sizes: Sequence[int], *, exponent: float) -> tuple[float, ...]:
    """The probabilities p ∝ n^exponent, for any exponent ≥ 0 without overflow."""
    largest = max(sizes)
    return normalize([(size / largest) ** exponent for size in sizes])


def spread(weights: Sequence[float], *, explore: float) -> tuple[float, ...]:
    """Weights (≥ 0) as probabilities, a share of which is spread evenly; all of it where all weights are 0."""
    even = 1 / len(weights)
    if not any(weights):
        return (even,) * len(weights)
    return normalize([(1 - explore) * p + explore * even for p in normalize(weights)])

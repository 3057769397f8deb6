"""Base classes of samplers: the probability of each dataset, and the dataset of each draw.

Rows and batches are the job of `nlpmtl.sampling.plan`; samplers do not know about them, nor about ranks.

Draws follow the additive recurrence (Kronecker or Weyl sequence) of the golden ratio, a low-discrepancy sequence:

    x_k = (x_0 + k · ⌊2^64 / φ⌋) mod 2^64

Symbols:
- x_k: point of draw k; the draw takes the dataset whose interval of the cumulative probabilities contains x_k / 2^64
- x_0: starting point, derived from the seed
- φ: golden ratio

After N draws with fixed probabilities, the count of a dataset differs from N · p by O(log N), because 1 / φ has bounded
partial quotients. For independent draws it differs by O(√N). A dataset with probability 0 is never drawn.

References:
    Niederreiter (1992), Random Number Generation and Quasi-Monte Carlo Methods, SIAM, chapter 3,
        https://doi.org/10.1137/1.9781611970081

Example:
    >>> from nlpmtl.sampling import Sampler
    >>> class TwoToOne(Sampler):
    ...     def probabilities(self, step):
    ...         return (2 / 3, 1 / 3)
    >>> sampler = TwoToOne(sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=6, seed=0)
    >>> sampler.draw(0, 6, step=0)
    [1, 0, 0, 1, 0, 1]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar, Literal, Self

import numpy as np

from nlpmtl.registry import KindOptions

Batches = Literal["mixed", "single"]
SamplerState = Mapping[str, Any]
"""State of an adaptive sampler: JSON-serialisable values."""

BITS = 64
GOLDEN = 0x9E3779B97F4A7C15
"""⌊2^64 / φ⌋, φ the golden ratio."""


class SamplingOptions(KindOptions):
    """Options that all samplers have."""

    batches: Batches = "mixed"
    """"mixed": each row of a step is drawn independently; "single": all rows of a step come from one dataset."""

    def restrict(self, datasets: Collection[str]) -> Self:
        """Return the options for a run with only some of the datasets, by name. Default: the same options."""
        return self


@dataclass(frozen=True)
class Feedback:
    """Measurements of a training step over all ranks, from which an adaptive sampler learns.

    Args:
        rows_per_dataset: number of rows drawn from each dataset in the step.
        losses: mean loss of each task that has labels in the step.
        uncertainties: mean uncertainty of the predictions, from 0 to 1, of each of these tasks whose type defines one.
            Empty unless the sampler sets `needs_uncertainties`.
    """

    rows_per_dataset: Sequence[int]
    losses: Mapping[str, float]
    uncertainties: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """Chooses the dataset of each draw: a pure function of the number of the draw, the step and the arguments.

    Args:
        sizes: number of train rows of each dataset, ≥ 1.
        total_steps: optimizer steps of the run, ≥ 1.
        epoch_steps: optimizer steps per epoch, ≥ 1.
        rows_per_step: rows of a step over all ranks, ≥ 1; one draw for each row ("mixed") or for all rows ("single").
        seed: seed of the run, ≥ 0.
        names: names of the datasets.
        tasks: names of the tasks that each dataset has labels for.
    """

    default_options: ClassVar[type[KindOptions]] = SamplingOptions
    """Options of a sampler that is registered without a model of its own; such a model derives from them."""

    sizes: Sequence[int]
    total_steps: int
    epoch_steps: int
    rows_per_step: int
    seed: int
    names: Sequence[str] = ()
    tasks: Sequence[Sequence[str]] = ()

    @abstractmethod
    def probabilities(self, step: int) -> tuple[float, ...]:
        """Return the probability of each dataset in a step.

        Args:
            step: number of the optimizer step, counted from 0.

        Returns:
            One probability per dataset, which sum to 1.
        """

    def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
        """Return the probability of each dataset in a step, given the state of an adaptive sampler."""
        return self.probabilities(step)

    def draw(self, first: int, count: int, *, step: int, state: SamplerState | None = None) -> list[int]:
        """Return the dataset of each of several consecutive draws of one step.

        Args:
            first: number of the first draw of the run, counted from 0.
            count: number of draws.
            step: number of the optimizer step, counted from 0.
            state: state of an adaptive sampler; None: the state before the first step.

        Returns:
            The index of a dataset for each draw.
        """
        p = self.probabilities(step) if state is None else self.probabilities_after(step, state)
        # Integers, scaled by their own sum: rounding can neither leave a gap nor widen an empty interval.
        bounds = list(accumulate(int(math.ldexp(probability, BITS)) for probability in p))
        draws = range(first, first + count)
        return [bisect_right(bounds, self._point(number) * bounds[-1] >> BITS) for number in draws]

    def _point(self, number: int) -> int:
        return (self._start + number * GOLDEN) % (1 << BITS)

    @cached_property
    def _start(self) -> int:
        words = np.random.SeedSequence(self.seed).generate_state(1, np.uint64)
        return int(words[0])


class AdaptiveSampler(Sampler):
    """A sampler whose probabilities depend on measurements of earlier steps.

    `update` is called after each step and before the next one is planned, with equal arguments on all ranks. Its state
    is saved in checkpoints together with the position in the plan, so a resumed run draws the same rows as an
    uninterrupted one. A step that is skipped because of a non-finite loss is not learned from.

    Args:
        sizes: number of train rows of each dataset, ≥ 1.
        total_steps: optimizer steps of the run, ≥ 1.
        epoch_steps: optimizer steps per epoch, ≥ 1.
        rows_per_step: rows of a step over all ranks, ≥ 1.
        seed: seed of the run, ≥ 0.
        names: names of the datasets.
        tasks: names of the tasks that each dataset has labels for.
    """

    needs_uncertainties: ClassVar[bool] = False
    """Whether `update` requires the uncertainty of the predictions."""

    @abstractmethod
    def initial_state(self) -> SamplerState:
        """Return the state before the first step."""

    @abstractmethod
    def update(self, state: SamplerState, feedback: Feedback) -> SamplerState:
        """Return the state after a step, without changing the old one.

        Args:
            state: state before the step.
            feedback: measurements of the step.

        Returns:
            The new state, JSON-serialisable.
        """

    @abstractmethod
    def probabilities_after(self, step: int, state: SamplerState) -> tuple[float, ...]:
        """Return the probability of each dataset in a step, given the state.

        Args:
            step: number of the optimizer step, counted from 0.
            state: state after the preceding step.

        Returns:
            One probability per dataset, which sum to 1.
        """

    def probabilities(self, step: int) -> tuple[float, ...]:
        """Return the probability of each dataset in a step, given the initial state."""
        return self.probabilities_after(step, self.initial_state())

    def per_dataset(self, values: Mapping[str, float]) -> list[float | None]:
        """Return the mean of the values of each dataset's tasks.

        Args:
            values: a value per task; tasks may be absent.

        Returns:
            One mean per dataset; None for a dataset none of whose tasks has a value.
        """
        return [mean(values[task] for task in tasks if task in values) for tasks in self._tasks]

    @property
    def _tasks(self) -> Sequence[Sequence[str]]:
        return self.tasks or [()] * len(self.sizes)


def mean(values: Iterable[float]) -> float | None:
    """Return the arithmetic mean; None without values."""
    items = list(values)
    return math.fsum(items) / len(items) if items else None


def ema(old: float | None, new: float, *, decay: float) -> float:
    """Return the exponential moving average: decay · old + (1 − decay) · new, or new if old is None."""
    return new if old is None else decay * old + (1 - decay) * new


def normalize(weights: Sequence[float]) -> tuple[float, ...]:
    """Return weights (≥ 0, not all 0) divided by their sum; a result does not depend on the order of the weights."""
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def normalize_power(sizes: Sequence[int], *, exponent: float) -> tuple[float, ...]:
    """Return the probabilities p ∝ size^exponent, without overflow for any exponent ≥ 0."""
    largest = max(sizes)
    return normalize([(size / largest) ** exponent for size in sizes])


def mix_with_uniform(weights: Sequence[float], *, epsilon: float) -> tuple[float, ...]:
    """Return the probabilities (1 − ε) · p + ε / n, where p are the n weights divided by their sum.

    Args:
        weights: a weight ≥ 0 per dataset; if all are 0, the result is uniform.
        epsilon: ε, fraction of the uniform distribution, from 0 to 1.

    Returns:
        One probability per weight, which sum to 1.
    """
    uniform = 1 / len(weights)
    if not any(weights):
        return (uniform,) * len(weights)
    return normalize([(1 - epsilon) * p + epsilon * uniform for p in normalize(weights)])

"""What can be said of two systems that answered the same rows. NumPy alone.

It knows nothing of tasks, runs or models: scores of rows are passed in as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
"""As many as Koehn (2004) drew."""
CONFIDENCE = 0.95
Scorer = Callable[[NDArray[np.int64]], float]
"""Which rows, ``[rows]``, some of them several times, to the score of the answers to them."""
Verdict = Literal["gained", "hurt", "cannot be told apart"]


@dataclass(frozen=True)
class SeedScores:
    """Scores of the same thing over seeds.

    Args:
        scores: one a seed.
    """

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation, estimated from a sample (n − 1); None of a single seed."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def paired_bootstrap(
    one: Sequence[Scorer], other: Sequence[Scorer], *, rows: int, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """The scores of two systems on resampled rows, ``[resamples, 2]``, each the mean over its seeds.

    Each resample draws as many rows as there are, with replacement, and scores the answers of all seeds of both systems
    to these same rows: answers to one row are drawn together, because they are not independent of each other.

    Koehn (2004), Statistical Significance Tests for Machine Translation Evaluation, section 4; Berg-Kirkpatrick,
    Burkett and Klein (2012), An Empirical Investigation of Statistical Significance in NLP, section 2. Both ask whether
    one system is better; here the differences themselves are looked at, and each system may have several seeds.

    Args:
        one: the scorer of each seed of a system.
        other: the same for the other system.
        rows: how many rows both answered.
        seed: of the draws.
        resamples: how many to draw.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    scores = np.empty((resamples, 2))
    for resample in range(resamples):
        drawn = generator.integers(rows, size=rows)
        scores[resample] = [fmean(scorer(drawn) for scorer in side) for side in (one, other)]
    return scores


def interval(values: NDArray[np.float64], *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the middle share of resampled values lies (Efron's percentile interval)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def to_verdict(between: tuple[float, float]) -> Verdict:
    """What the interval of a difference says."""
    low, high = between
    return "gained" if low > 0 else "hurt" if high < 0 else "cannot be told apart"


def relative_change(mixture: float, alone: float) -> float | None:
    """By how many percent of the score alone the mixture's is better; None where that is 0.

    Scores are better when higher: errors come negated, which is the sign that the paper gives them.
    """
    return 100 * (mixture - alone) / abs(alone) if alone else None


def delta(changes: Mapping[str, float | None]) -> float | None:
    """Δm, the mean of the tasks' relative changes in percent; those that are undefined are left out.

    Maninis, Radosavovic and Kokkinos (2019), Attentive Single-Tasking of Multiple Tasks, equation 4.
    """
    known = [change for change in changes.values() if change is not None]
    return fmean(known) if known else None


def delta_interval(scores: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The interval of Δm.

    Args:
        scores: of each task, ``[resamples, 2]``, the mixture's and those alone, as `paired_bootstrap` gives them. Tasks
            are drawn independently of each other.
    """
    mixture, alone = np.stack(scores, axis=-1).transpose(1, 0, 2)
    known = alone != 0
    changes = 100 * (mixture - alone) / np.abs(np.where(known, alone, 1.0))
    return interval((changes * known).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))

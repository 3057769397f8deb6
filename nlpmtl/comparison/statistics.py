"""Paired bootstrap (Koehn, 2004) and relative multi-task gain Δm (Maninis et al., 2019).

Needs only NumPy, and is independent of tasks and models: the score of a sample of rows is a function argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
"""Number of bootstrap resamples, as in Koehn (2004)."""
CONFIDENCE = 0.95
Scorer = Callable[[NDArray[np.int64]], float]
"""Scores the predictions for a sample of rows, given as indices ``[rows]`` that may repeat."""
Verdict = Literal["gained", "hurt", "cannot be told apart"]
"""Whether the multi-task score is significantly higher or lower; these values are written to compare.json."""


@dataclass(frozen=True)
class SeedScores:
    """Scores of one condition, one per seed."""

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over seeds (n − 1); None for a single seed."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def paired_bootstrap(
    first: Sequence[Scorer], second: Sequence[Scorer], *, rows: int, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Score two systems on bootstrap resamples of the same rows: ``[resamples, 2]``, each the mean over its seeds.

    A resample draws `rows` rows with replacement. All seeds of both systems are scored on the same rows, because their
    predictions for a row are not independent.

    Koehn (2004), Statistical Significance Tests for Machine Translation Evaluation, section 4; Berg-Kirkpatrick,
    Burkett and Klein (2012), An Empirical Investigation of Statistical Significance in NLP, section 2. Both test
    whether one system is better; here the distribution of the difference is used, and a system may have several seeds.

    Args:
        first: the scorers of the first system, one per seed.
        second: the scorers of the second system, one per seed.
        rows: number of rows that both systems predicted.
        seed: random seed of the resamples.
        resamples: number of resamples.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    scores = np.empty((resamples, 2))
    for resample in range(resamples):
        sample = generator.integers(rows, size=rows)
        scores[resample] = [fmean(scorer(sample) for scorer in system) for system in (first, second)]
    return scores


def score_differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return first − second, and 0 where scores differ by rounding errors only."""
    differences: NDArray[np.float64] = np.where(np.isclose(first, second, rtol=1e-12, atol=1e-14), 0.0, first - second)
    return differences


def percentile_interval(values: NDArray[np.float64], *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile bootstrap confidence interval (Efron)."""
    tail_probability = (1 - confidence) / 2
    low, high = np.quantile(values, [tail_probability, 1 - tail_probability])
    return float(low), float(high)


def to_verdict(interval: tuple[float, float] | None) -> Verdict:
    """Classify a difference by its confidence interval, if it has one."""
    gained, hurt, undecided = get_args(Verdict)
    low, high = interval or (0.0, 0.0)
    verdict: Verdict = gained if low > 0 else hurt if high < 0 else undecided
    return verdict


def relative_change(multi_task: float, single_task: float) -> float | None:
    """Return the difference in percent of the single-task score; None if that is 0.

    Higher scores are better: errors are negated, which gives them the sign of the paper.
    """
    return 100 * (multi_task - single_task) / abs(single_task) if single_task else None


def delta(changes: Mapping[str, float | None]) -> float | None:
    """Return Δm, the mean relative change over tasks in percent, without undefined changes.

    Maninis, Radosavovic and Kokkinos (2019), Attentive Single-Tasking of Multiple Tasks, equation 4.
    """
    defined = [change for change in changes.values() if change is not None]
    return fmean(defined) if defined else None


def delta_interval(scores: Sequence[NDArray[np.float64]]) -> tuple[float, float] | None:
    """Return the bootstrap confidence interval of Δm; None if Δm is undefined in all resamples.

    Args:
        scores: for each task the scores ``[resamples, 2]`` (multi-task, single-task) of `paired_bootstrap`. Tasks are
            resampled independently of each other.
    """
    if not scores:
        return None
    multi_task, single_task = np.stack(scores, axis=-1).transpose(1, 0, 2)
    defined = single_task != 0
    changes = 100 * score_differences(multi_task, single_task) / np.abs(np.where(defined, single_task, 1.0))
    counts = defined.sum(axis=-1)
    means = (changes * defined).sum(axis=-1)[counts > 0] / counts[counts > 0]
    return percentile_interval(means) if len(means) else None

"""Correlations of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import pearsonr, rankdata

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

CONSTANT = 1e-11
"""Numbers whose spread is at most this share of their size are one number: below it, rounding makes the correlation."""


@METRICS.register("pearsonr")
class Pearson(Metric):
    """The linear correlation of predictions and references: their covariance over both deviations, from −1 to 1.

    Undefined: all predictions, or all references, are the same number (up to rounding), or one is not finite.

    Source: Pearson, Proceedings of the Royal Society of London 58 (1895).
    """

    name = "pearsonr"
    reads = frozenset({"number"})

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        return _linear(predictions, references)


@METRICS.register("spearmanr")
class Spearman(Metric):
    """The linear correlation of the ranks, equal numbers sharing the mean of their ranks, from −1 to 1.

    Undefined: all predictions, or all references, are the same number, or one is not finite.

    Source: Spearman, American Journal of Psychology 15 (1904).
    """

    name = "spearmanr"
    reads = frozenset({"number"})

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        return _linear(rankdata(predictions), rankdata(references))


def _linear(predictions: ArrayLike, references: ArrayLike) -> float | None:
    if _is_constant(predictions) or _is_constant(references):
        return None
    return float(pearsonr(predictions, references).statistic)


def _is_constant(numbers: ArrayLike) -> bool:
    return bool(np.ptp(numbers) <= CONSTANT * np.max(np.abs(numbers)))

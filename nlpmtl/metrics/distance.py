"""Errors of numbers: the smaller, the better."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import mean_absolute_error, mean_squared_error

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("mae")
class MeanAbsoluteError(Metric):
    """The mean of |prediction − reference|, from 0 up, in the unit of the references.

    Undefined: no rows, or a number that is not finite. Source: scikit-learn's `mean_absolute_error`.
    """

    name = "mae"
    reads = frozenset({"number"})
    higher_is_better = False

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float:
        return float(mean_absolute_error(references, predictions))


@METRICS.register("mse")
class MeanSquaredError(Metric):
    """The mean of (prediction − reference)², from 0 up, in the squared unit of the references.

    Undefined: no rows, or a number that is not finite. Source: scikit-learn's `mean_squared_error`.
    """

    name = "mse"
    reads = frozenset({"number"})
    higher_is_better = False

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float:
        return float(mean_squared_error(references, predictions))

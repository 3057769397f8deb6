"""Mean absolute error (MAE) and mean squared error (MSE).

    MAE = 1/N · Σ_i |p_i − r_i|        MSE = 1/N · Σ_i (p_i − r_i)²

Symbols:
- N: number of rows
- p_i, r_i: prediction and reference of row i

Both are ≥ 0, and lower is better. They equal scikit-learn's `mean_absolute_error` and `mean_squared_error`. They are
undefined without rows, or if a number is not finite.

References:
    scikit-learn, `mean_absolute_error` and `mean_squared_error`,
        https://scikit-learn.org/stable/modules/model_evaluation.html#regression-metrics

Example:
    >>> from nlpmtl.metrics import MeanAbsoluteError, MeanSquaredError
    >>> MeanAbsoluteError().compute(predictions=[1.0, 4.0], references=[1.0, 2.0])
    {'mae': 1.0}
    >>> MeanSquaredError().compute(predictions=[1.0, 4.0], references=[1.0, 2.0])
    {'mse': 2.0}
"""

from __future__ import annotations

from collections.abc import Sequence

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


@METRICS.register("mae")
class MeanAbsoluteError(Metric):
    """Mean absolute error: mean of |prediction − reference|, from 0 up, in the unit of the references.

    Undefined: no rows, or a number is not finite. It equals scikit-learn's `mean_absolute_error`.
    """

    other_names = "mean_absolute_error"

    name = "mae"
    reads = frozenset({"number"})
    higher_is_better = False

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float:
        from sklearn.metrics import mean_absolute_error

        return float(mean_absolute_error(references, predictions))


@METRICS.register("mse")
class MeanSquaredError(Metric):
    """Mean squared error: mean of (prediction − reference)², from 0 up, in the squared unit of the references.

    Undefined: no rows, or a number is not finite. It equals scikit-learn's `mean_squared_error`.
    """

    other_names = "mean_squared_error"

    name = "mse"
    reads = frozenset({"number"})
    higher_is_better = False

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float:
        from sklearn.metrics import mean_squared_error

        return float(mean_squared_error(references, predictions))

"""Means of autocorrelated measurements, with standard errors and significance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from nlpmtl.affinity.metrics import Floats
from nlpmtl.deprecation import RenamedAttribute

_LEVEL = 0.05
"""Family-wise significance level: the intended probability of any significant mean if all are 0."""
_MAX_AUTOCORRELATION = 0.99


@dataclass(frozen=True)
class Estimate:
    """Means over measurements, of any shape.

    Args:
        mean: means; NaN where nothing could be measured.
        error: standard errors of the means; NaN for fewer than two measurements.
        significant: whether a mean differs significantly from 0.
    """

    mean: Floats
    error: Floats
    significant: NDArray[np.bool_]

    clear = RenamedAttribute("significant")


def estimate(values: Floats, *, tests: int) -> Estimate:
    """Estimate means over the first axis of ``[measurements, …]``.

    Consecutive measurements of a run are autocorrelated: n of them count as n (1 − ρ) / (1 + ρ), where ρ is the
    lag-1 autocorrelation, if positive (Bartlett, 1946, for an AR(1) process). Its estimate from few measurements is
    corrected for its bias, −(1 + 4ρ) / n (Marriott and Pope, 1954; Kendall, 1954), and is at least the mean over all
    means, because its variance is high. Significance is tested at a level of 5%, divided by the number of tests
    (Bonferroni), by Student's t with the degrees of freedom of the variance, n (1 − ρ²) / (1 + ρ²) − 1 (Bayley and
    Hammersley, 1946).

    Args:
        values: measurements; NaN where something could not be measured.
        tests: number of means that are tested together, ≥ 1.
    """
    measured = np.isfinite(values)
    count = measured.sum(axis=0)
    mean = _divide(np.where(measured, values, 0.0).sum(axis=0), count)
    deviations = np.where(measured, values - mean, 0.0)
    squares = (deviations**2).sum(axis=0)
    autocorrelation = _autocorrelation(deviations, squares=squares, count=count)
    effective_count = np.maximum(count * (1 - autocorrelation) / (1 + autocorrelation), 1.0)
    error = np.sqrt(_divide(squares, (count - 1) * effective_count, where=count > 1))
    freedom = count * (1 - autocorrelation**2) / (1 + autocorrelation**2) - 1
    critical_value = student_t.ppf(1 - _LEVEL / (2 * tests), np.maximum(freedom, 1.0))
    return Estimate(mean, error, np.abs(mean) > critical_value * error)


def _autocorrelation(deviations: Floats, *, squares: Floats, count: NDArray[np.int64]) -> Floats:
    """Return the lag-1 autocorrelation of the measurements of each mean, from 0 to `_MAX_AUTOCORRELATION`."""
    biased = _divide((deviations[1:] * deviations[:-1]).sum(axis=0), squares, 0.0)
    corrected = biased + (1 + 4 * biased) / np.maximum(count, 1)
    varies = squares > 0
    pooled = corrected[varies].mean() if varies.any() else 0.0
    return np.clip(np.where(varies, np.maximum(corrected, pooled), 0.0), 0.0, _MAX_AUTOCORRELATION)


def _divide(
    numerator: Floats, denominator: Floats, default: float = np.nan, *, where: NDArray[np.bool_] | None = None
) -> Floats:
    """Divide where the denominator is positive, or where a mask is true; elsewhere return a default."""
    quotients: Floats = np.divide(
        numerator,
        denominator,
        out=np.full(np.shape(numerator), default),
        where=denominator > 0 if where is None else where,
    )
    return quotients

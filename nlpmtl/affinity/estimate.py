"""A mean over measurements, how far it may be from the truth, and whether it can be told from 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from nlpmtl.affinity.metrics import Floats

_LEVEL = 0.05
"""The chance that anything at all is told from 0 where all is 0."""


@dataclass(frozen=True)
class Estimate:
    """Means over measurements, of any shape.

    Args:
        mean: NaN where nothing could be measured.
        error: the standard error of each mean; NaN where there are fewer than two measurements.
        clear: whether a mean can be told from 0.
    """

    mean: Floats
    error: Floats
    clear: NDArray[np.bool_]


def estimate(values: Floats, *, tests: int) -> Estimate:
    """The means over the first axis, ``[measurements, …]``.

    Measurements that follow each other in a run are alike: of n of them, only n (1 − ρ) / (1 + ρ) count, where ρ is the
    correlation of neighbours, if it is above 0 (Bartlett 1946, for a first-order autoregression). A mean is clear of 0
    by Student's t, at a level of 5 % that is shared out over all the tests (Bonferroni).

    Args:
        values: NaN where something could not be measured.
        tests: how many means are looked at together, ≥ 1.
    """
    there = np.isfinite(values)
    many = there.sum(axis=0)
    mean = _divide(np.where(there, values, 0.0).sum(axis=0), many)
    apart = np.where(there, values - mean, 0.0)
    squares = (apart**2).sum(axis=0)
    repeated = np.clip(_divide((apart[1:] * apart[:-1]).sum(axis=0), squares, 0.0), 0.0, None)
    counting = np.maximum(many * (1 - repeated) / (1 + repeated), 1.0)
    error = np.sqrt(_divide(squares, (many - 1) * counting, where=many > 1))
    limit = student.ppf(1 - _LEVEL / (2 * tests), np.maximum(counting - 1, 1.0))
    return Estimate(mean, error, np.abs(mean) > limit * error)


def _divide(above: Floats, below: Floats, other: float = np.nan, *, where: NDArray[np.bool_] | None = None) -> Floats:
    """A quotient, or another number where it is not defined."""
    found: Floats = np.divide(
        above, below, out=np.full(np.shape(above), other), where=below > 0 if where is None else where
    )
    return found

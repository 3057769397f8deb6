"""Which rows a share or a limit takes: a fixed shuffle, the same for every run."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_SEED = 20240229
"""Never changed: another number would make another validation split out of the same file."""


def hold_out(rows: int, *, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that stay, and the ``ceil(share · rows)`` that are held out; both in their original order."""
    # As a decimal, because in binary 0.07 of 100 rows is a little more than 7.
    held = math.ceil(Fraction(str(share)) * rows)
    shuffled = _shuffle(rows)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])


def subsample(rows: int, *, limit: int) -> NDArray[np.int64]:
    """The first ``limit`` rows of the shuffle, in their original order; all of them where there are fewer."""
    return np.sort(_shuffle(rows)[:limit])


def _shuffle(rows: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(_SEED)).permutation(rows)

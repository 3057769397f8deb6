"""Hold-out splits and subsampling with a fixed shuffle, the same in every run."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_SEED = 20240229
"""Must never change: another seed gives another validation split of the same file."""


def hold_out(rows: int, *, fraction: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the kept and of the ``ceil(fraction · rows)`` held-out rows, each in ascending order."""
    # A decimal fraction: in binary, 0.07 · 100 is a little more than 7.
    held = math.ceil(Fraction(str(fraction)) * rows)
    shuffled = _shuffle(rows)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])


def subsample(rows: int, *, limit: int) -> NDArray[np.int64]:
    """Return the indices of at most ``limit`` random rows, in ascending order."""
    return np.sort(_shuffle(rows)[:limit])


def _shuffle(rows: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(_SEED)).permutation(rows)

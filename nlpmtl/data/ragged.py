"""Rows of different lengths in one flat array: a million short rows cost what their numbers cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Ragged:
    """Row ``i`` is ``values[bounds[i]:bounds[i + 1]]``.

    Args:
        values: all rows end to end, ``[items]``.
        bounds: where each row starts, and the end of the last, ``[rows + 1]``.
    """

    values: NDArray[np.integer]
    bounds: NDArray[np.int64]

    @classmethod
    def pack(cls, rows: Iterable[Sequence[int]], *, dtype: DTypeLike = np.int32) -> Ragged:
        """Pack rows of numbers."""
        parts = [np.asarray(row, dtype=dtype) for row in rows]
        bounds = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=bounds[1:])
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=dtype), bounds)

    @classmethod
    def join(cls, pieces: Sequence[Ragged]) -> Ragged:
        """The rows of several, one after another."""
        bounds = np.zeros(sum(map(len, pieces)) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([piece.lengths for piece in pieces]), out=bounds[1:])
        return cls(np.concatenate([piece.values for piece in pieces]), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def take(self, rows: NDArray[np.integer] | Sequence[int]) -> Ragged:
        """These rows alone, in this order, as a copy."""
        at = np.asarray(rows, dtype=np.int64)
        starts = self.bounds[at]
        lengths = self.bounds[at + 1] - starts
        bounds = np.zeros(len(at) + 1, dtype=np.int64)
        lengths.cumsum(out=bounds[1:])
        places = np.arange(bounds[-1]) + (starts - bounds[:-1]).repeat(lengths)
        return Ragged(self.values[places], bounds)

    def indices_2d(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each value its row, and its place in it: where they stand in a matrix of as many rows."""
        lengths = self.lengths
        return np.arange(len(lengths)).repeat(lengths), np.arange(self.bounds[-1]) - self.bounds[:-1].repeat(lengths)

    def row_of(self, place: int) -> int:
        """The row that holds a value, by its place in ``values``."""
        return int(np.searchsorted(self.bounds, place, side="right")) - 1

    def __getitem__(self, row: int) -> NDArray[np.integer]:
        return self.values[self.bounds[row] : self.bounds[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Items in each row, ``[rows]``."""
        return self.bounds[1:] - self.bounds[:-1]

"""Ragged arrays: rows of different lengths in one flat array and its row boundaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Ragged:
    """A ragged array. Row ``i`` is ``values[bounds[i]:bounds[i + 1]]``.

    Args:
        values: all rows, concatenated, ``[items]``.
        bounds: the start of each row, and the end of the last, ``[rows + 1]``.
    """

    values: NDArray[np.integer]
    bounds: NDArray[np.int64]

    @classmethod
    def pack(cls, rows: Iterable[Sequence[int] | NDArray[np.integer]], *, dtype: DTypeLike = np.int32) -> Ragged:
        """Create a ragged array from rows of numbers."""
        parts = [np.asarray(row, dtype=dtype) for row in rows]
        bounds = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=bounds[1:])
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=dtype), bounds)

    @classmethod
    def from_arrow(cls, lists: pa.ChunkedArray | pa.ListArray) -> Ragged:
        """Return lists of numbers; a null is an empty row. The values of a single chunk are not copied."""
        array = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
        bounds = array.offsets.to_numpy().astype(np.int64)
        start, end = bounds[[0, -1]].tolist()
        return cls(array.values.slice(start, end - start).to_numpy(zero_copy_only=False), bounds - start)

    def to_arrow(self) -> pa.ListArray:
        """Return the rows as an Arrow array of lists."""
        return pa.ListArray.from_arrays(pa.array(self.bounds, pa.int32()), pa.array(self.values))

    @classmethod
    def join(cls, parts: Sequence[Ragged]) -> Ragged:
        """Concatenate the rows of several ragged arrays."""
        bounds = np.zeros(sum(map(len, parts)) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=bounds[1:])
        return cls(np.concatenate([part.values for part in parts]), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def take(self, rows: NDArray[np.integer] | Sequence[int]) -> Ragged:
        """Return a copy with the given rows, in the given order."""
        indices = np.asarray(rows, dtype=np.int64)
        starts = self.bounds[indices]
        return Ragged.gather(self.values, starts, self.bounds[indices + 1] - starts)

    @classmethod
    def gather(cls, values: NDArray[np.integer], starts: NDArray[np.int64], lengths: NDArray[np.integer]) -> Ragged:
        """Return a copy of rows of an array, given the start and the length of each, ``[rows]``."""
        bounds = np.zeros(len(starts) + 1, dtype=np.int64)
        lengths.cumsum(out=bounds[1:])
        return cls(values[np.arange(bounds[-1]) + (starts - bounds[:-1]).repeat(lengths)], bounds)

    def indices_2d(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row and the column of each value in a padded matrix."""
        lengths = self.lengths
        return np.arange(len(lengths)).repeat(lengths), np.arange(self.bounds[-1]) - self.bounds[:-1].repeat(lengths)

    def row_of(self, index: int) -> int:
        """Return the row of a value, given its index in ``values``."""
        return int(np.searchsorted(self.bounds, index, side="right")) - 1

    def __getitem__(self, row: int) -> NDArray[np.integer]:
        return self.values[self.bounds[row] : self.bounds[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of values in each row, ``[rows]``."""
        return self.bounds[1:] - self.bounds[:-1]

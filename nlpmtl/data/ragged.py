"""Ragged arrays: rows of different lengths in one flat array and its row boundaries, in memory or in an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

Indices = Sequence[int] | NDArray[np.integer]
"""Indices of rows."""


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
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=dtype), row_bounds(list(map(len, parts))))

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
        bounds = row_bounds(np.concatenate([part.lengths for part in parts]))
        return cls(np.concatenate([part.values for part in parts]), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def take(self, indices: Indices) -> Ragged:
        """Return a copy of the rows with the given indices, in the given order."""
        rows = np.asarray(indices, dtype=np.int64)
        starts = self.bounds[rows]
        return Ragged.gather(self.values, starts, self.bounds[rows + 1] - starts)

    @classmethod
    def gather(cls, values: NDArray[np.integer], starts: NDArray[np.int64], lengths: NDArray[np.integer]) -> Ragged:
        """Return a copy of rows of an array, given the start and the length of each, ``[rows]``."""
        bounds = row_bounds(lengths)
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


def row_bounds(lengths: Indices) -> NDArray[np.int64]:
    """Return the start of each row, and the end of the last, ``[rows + 1]``, given the length of each row."""
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


class ListColumn:
    """A column of lists of integers, read by the indices of its rows; only the values that are read are copied.

    The offsets and values of all chunks are read through one array each over the memory that holds them, so that rows
    of many chunks are read at once.

    Args:
        column: the column; a null is an empty list.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)] or [pa.array([[]], column.type)]
        self._first_rows = np.cumsum([0, *map(len, chunks)])
        offsets, values = [chunk.offsets for chunk in chunks], [chunk.values for chunk in chunks]
        parts = [*offsets, *(part for part in values if len(part))]
        start = min(map(_address, parts))
        size = max(_address(part) + len(part) * part.type.byte_width for part in parts) - start
        memory = pa.foreign_buffer(start, size, base=chunks)  # keeps the chunks; the gaps are never read
        dtype = np.dtype(column.type.value_type.to_pandas_dtype())
        self._offsets: NDArray[np.int32] = np.frombuffer(memory, np.int32, count=size // 4)
        self._values: NDArray[np.integer] = np.frombuffer(memory, dtype, count=size // dtype.itemsize)
        self._offset_starts = np.array([(_address(part) - start) // 4 for part in offsets])
        self._value_starts = np.array(
            [(_address(part) - start) // dtype.itemsize if len(part) else 0 for part in values], dtype=np.int64
        )

    def take(self, indices: Indices) -> Ragged:
        """Return the rows with the given indices, in the given order."""
        rows = np.asarray(indices, dtype=np.int64)
        chunks = self._first_rows.searchsorted(rows, side="right") - 1
        positions = self._offset_starts[chunks] + rows - self._first_rows[chunks]
        starts = self._offsets[positions].astype(np.int64)
        return Ragged.gather(self._values, starts + self._value_starts[chunks], self._offsets[positions + 1] - starts)


def _address(array: pa.Array) -> int:
    """Return the address of the first value of an array of integers."""
    address: int = array.buffers()[1].address + array.offset * array.type.byte_width
    return address

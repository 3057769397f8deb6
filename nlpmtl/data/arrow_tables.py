"""Arrow tables in a file or in memory: written in record batches, memory-mapped, read by the indices of their rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.ragged import Ragged
from nlpmtl.fs import open_regular_file

Indices = Sequence[int] | NDArray[np.integer]
"""Indices of rows."""


class TableWriter(AbstractContextManager["TableWriter"]):
    """A writer of record batches, in the file format of `datasets`. After the ``with`` block, `table` returns all rows.

    Args:
        schema: the schema of the table.
        path: the file; None keeps the table in memory.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, schema: pa.Schema, path: Path | None) -> None:
        self._schema, self._path = schema, path
        self._sink: Any = pa.BufferOutputStream() if path is None else pa.OSFile(os.fsencode(path), "wb")
        self._stream = pa.ipc.new_stream(self._sink, schema)

    def write(self, columns: Iterable[pa.Array]) -> None:
        """Add a batch of rows, given its columns in the order of the schema."""
        self._stream.write_batch(pa.record_batch(list(columns), schema=self._schema))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._stream.close()
            self._buffer = self._sink.getvalue() if self._path is None else None
        self._sink.close()

    def table(self) -> pa.Table:
        """Return all rows. Call this after the ``with`` block."""
        return pa.ipc.open_stream(self._buffer).read_all() if self._path is None else read_table(self._path)


def read_table(path: Path) -> pa.Table:
    """Memory-map the file of a `TableWriter`. The file is not kept open; it can be moved or removed.

    Raises:
        OSError, ValueError: the path is not a file of this format, or the file is damaged.
    """
    with open_regular_file(path), pa.memory_map(os.fsencode(path)) as mapped:
        buffer = mapped.read_buffer()
    return pa.ipc.open_stream(buffer).read_all()


class TableRows:
    """The rows of a table, read by their indices. (`Table.take` copies whole columns.)

    Args:
        table: the table.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._batches = [batch for batch in table.to_batches() if batch.num_rows]
        self._first_rows = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def __len__(self) -> int:
        return len(self.table)

    def take(self, indices: Indices) -> pa.Table:
        """Return the rows with the given indices, in the given order."""
        rows = np.asarray(indices, dtype=np.int64)
        batches = self._first_rows.searchsorted(rows, side="right") - 1
        batch_and_row = zip(batches.tolist(), (rows - self._first_rows[batches]).tolist(), strict=True)
        slices = [self._batches[batch].slice(row, 1) for batch, row in batch_and_row]
        return pa.Table.from_batches(slices, schema=self.table.schema)

    def row(self, index: int) -> dict[str, Any]:
        """Return a row: column -> value."""
        row: dict[str, Any] = self.take([index]).to_pylist()[0]
        return row


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
        self._offsets_at = np.array([(_address(part) - start) // 4 for part in offsets])
        self._values_at = np.array(
            [(_address(part) - start) // dtype.itemsize if len(part) else 0 for part in values], dtype=np.int64
        )

    def take(self, indices: Indices) -> Ragged:
        """Return the rows with the given indices, in the given order."""
        rows = np.asarray(indices, dtype=np.int64)
        chunks = self._first_rows.searchsorted(rows, side="right") - 1
        positions = self._offsets_at[chunks] + rows - self._first_rows[chunks]
        starts = self._offsets[positions].astype(np.int64)
        return Ragged.gather(self._values, starts + self._values_at[chunks], self._offsets[positions + 1] - starts)


def _address(array: pa.Array) -> int:
    """Return the address of the first value of an array of integers."""
    address: int = array.buffers()[1].address + array.offset * array.type.byte_width
    return address


def to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a whole column of numbers or booleans without nulls, ``[rows]``."""
    return np.asarray(column.to_numpy())

"""Arrow tables in files or in memory: written in record batches, memory-mapped, with access to rows by index."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.ragged import Indices
from nlpmtl.fs import open_regular_file


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

    def write(self, columns: Iterable[pa.Array | pa.ChunkedArray]) -> None:
        """Add rows, given their columns in the order of the schema.

        The rows are written as one record batch, or as several if a column has several chunks. (`pa.array` returns
        chunks for strings of more than 2 GB.)
        """
        self._stream.write_table(pa.Table.from_arrays(list(columns), schema=self._schema))

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
    """Access to the rows of a table by their indices, without copying whole columns as `pyarrow.Table.take` does.

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
        """Return a row as a dict from column to value."""
        row: dict[str, Any] = self.take([index]).to_pylist()[0]
        return row


def to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a whole column of numbers or booleans without nulls, ``[rows]``."""
    return np.asarray(column.to_numpy())

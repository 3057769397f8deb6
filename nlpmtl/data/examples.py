"""Examples: the validated rows of one split, in Arrow record batches in a file or in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from nlpmtl.data.arrays import open_regular_file
from nlpmtl.data.raw_rows import FilePart, MissingColumn, location


@dataclass(frozen=True)
class ArrowBatches:
    """Record batches in an Arrow file, or in a buffer in the same format.

    Args:
        schema: the schema of the batches.
        source: the file, which is read during iteration; or the buffer, which may be a memory map of a file.
    """

    schema: pa.Schema
    source: Path | pa.Buffer

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with self._open() as file:
            reader = ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def table(self) -> pa.Table:
        """All batches in memory."""
        return pa.Table.from_batches(list(self), self.schema)

    def memory_map(self) -> ArrowBatches:
        """Return the same batches in a memory map, which is valid when the file is moved or removed, and not open."""
        return self if isinstance(self.source, pa.Buffer) else memmap_batches(self.source)

    def row(self, index: int) -> dict[str, Any]:
        """Return a row: column -> value. Only its batch is read."""
        batch = int(np.searchsorted(self._ends, index, side="right"))
        start = index - (int(self._ends[batch - 1]) if batch else 0)
        row: dict[str, Any] = self._reader.get_batch(batch).slice(start, 1).to_pylist()[0]
        return row

    @cached_property
    def _reader(self) -> Any:
        return ipc.open_file(self._open())

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """The end of each batch, in rows, ``[batches]``."""
        sizes = [self._reader.get_batch(number).num_rows for number in range(self._reader.num_record_batches)]
        return np.cumsum(sizes, dtype=np.int64)

    def _open(self) -> Any:
        return pa.OSFile(str(self.source)) if isinstance(self.source, Path) else pa.BufferReader(self.source)


class ArrowBuffer(AbstractContextManager["ArrowBuffer"]):
    """A writer of record batches. After the ``with`` block, `batches` returns them.

    Args:
        schema: the schema of the batches.
        directory: where to create a file for them; None keeps them in memory.
        name: the name of the file; default: any, which no other file has.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, schema: pa.Schema, *, directory: Path | None, name: str | None = None) -> None:
        self._schema = schema
        self._path: Path | None = None
        if directory is not None:
            self._path = Path(tempfile.mkdtemp(dir=directory)) / "rows.arrow" if name is None else directory / name
        self._sink: Any = pa.BufferOutputStream() if self._path is None else pa.OSFile(str(self._path), "wb")
        self._writer = ipc.new_file(self._sink, schema)

    def write(self, columns: Sequence[pa.Array]) -> None:
        """Add a batch."""
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._writer.close()
        if kind is None and self._path is None:
            self._buffer = self._sink.getvalue()
        self._sink.close()

    def batches(self) -> ArrowBatches:
        """Return the written batches. Call this after the ``with`` block."""
        return ArrowBatches(self._schema, self._buffer if self._path is None else self._path)


def memmap_batches(path: Path) -> ArrowBatches:
    """Memory-map an Arrow file, without keeping it open.

    Raises:
        OSError, ValueError: the path is not an Arrow file, or the file is damaged.
    """
    with open_regular_file(path), pa.memory_map(str(path)) as mapped:
        buffer = mapped.read_buffer()
    return ArrowBatches(ipc.open_file(pa.BufferReader(buffer)).schema, buffer)


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split.

    Args:
        stored: the record batches. Columns: the input as ``text``, as ``text`` and ``pair``, or as ``words``; each
            label column as ``label:<column>``, null where a row is unlabelled.
        where: the name of the source in error messages.
        separator: what separates that name from a row's number, such as ``":"``.
        numbers: the number of each example in its source, ``[examples]``.
        class_names: the label names of each ClassLabel column, in the source's order.
        skipped: the number of invalid rows that were dropped.
        selected: the indices of the stored rows that are in use, ascending; None for all.
        files: the files of the source, if there are several.
        missing_columns: the label columns that are in no row.
    """

    stored: ArrowBatches
    where: str
    separator: str
    numbers: NDArray[np.int64]
    class_names: Mapping[str, tuple[str, ...]]
    skipped: int = 0
    selected: NDArray[np.int64] | None = None
    files: tuple[FilePart, ...] = ()
    missing_columns: Mapping[str, MissingColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Return where an example is in its source, such as ``data/train.jsonl:17`` or ``sst2: train, row 17``."""
        return location(int(self.numbers[row]), where=self.where, separator=self.separator, files=self.files)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Examples:
        """Return the examples with these indices, which must ascend."""
        rows = np.asarray(indices, dtype=np.int64)
        return replace(
            self, numbers=self.numbers[rows], selected=rows if self.selected is None else self.selected[rows]
        )

    def batches(self, *, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all examples in order, in record batches of at most ``size`` rows."""
        end = 0
        for batch in self.stored:
            start, end = end, end + batch.num_rows
            if self.selected is not None:
                first, last = np.searchsorted(self.selected, [start, end])
                batch = batch.take(pa.array(self.selected[first:last] - start))
            for offset in range(0, batch.num_rows, size):
                yield batch.slice(offset, size)

    @property
    def table(self) -> pa.Table:
        """All examples in memory."""
        return pa.Table.from_batches(self.batches(size=max(1, len(self))), self.stored.schema)

"""Arrow record batches in a temporary file: examples between validation and tokenization, one batch in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc


@dataclass(frozen=True)
class ArrowBatches:
    """Record batches in an Arrow file, or in memory in the same format; each is read during iteration."""

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

    def _open(self) -> Any:
        return pa.OSFile(str(self.source)) if isinstance(self.source, Path) else pa.BufferReader(self.source)


class ArrowBuffer(AbstractContextManager["ArrowBuffer"]):
    """A writer of record batches. After the ``with`` block, `batches` returns them.

    Args:
        schema: the schema of the batches.
        directory: where to create a file for them; None keeps them in memory.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, schema: pa.Schema, *, directory: Path | None) -> None:
        self._schema = schema
        self._path: Path | None = None
        if directory is not None:
            self._path = Path(tempfile.mkdtemp(dir=directory)) / "rows.arrow"
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

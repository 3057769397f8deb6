"""Examples: the validated rows of one split, in an Arrow table in a temporary file or in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.raw_rows import FilePart, MissingColumn, location


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split.

    Args:
        stored: the table. Its columns are the input (``text``, ``text`` and ``pair``, or ``words``) and the label
            columns (``label:<column>``, null where a row is unlabelled).
        where: the name of the source in error messages.
        separator: separator between that name and the number of a row, such as ``":"``.
        numbers: the number of each example in its source, ``[examples]``.
        class_names: the label names of each ClassLabel column, in the source's order.
        skipped: the number of invalid rows that were dropped.
        selected: the indices of the stored rows that are in use, in ascending order; None for all.
        files: the files of the source, if there are several.
        missing_columns: the label columns that no row has.
        split_texts: the number of rows whose text `split_at_marks` split into words.
    """

    stored: pa.Table
    where: str
    separator: str
    numbers: NDArray[np.int64]
    class_names: Mapping[str, tuple[str, ...]]
    skipped: int = 0
    selected: NDArray[np.int64] | None = None
    files: tuple[FilePart, ...] = ()
    missing_columns: Mapping[str, MissingColumn] = field(default_factory=dict)
    split_texts: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Return the location of an example, such as ``data/train.jsonl:17`` or ``sst2: train, row 17``."""
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
        for batch in self.stored.to_batches():
            start, end = end, end + batch.num_rows
            if self.selected is not None:
                first, last = np.searchsorted(self.selected, [start, end])
                batch = batch.take(pa.array(self.selected[first:last] - start))
            for offset in range(0, batch.num_rows, size):
                yield batch.slice(offset, size)

    @property
    def table(self) -> pa.Table:
        """All examples as one table."""
        return pa.Table.from_batches(self.batches(size=max(1, len(self))), self.stored.schema)

"""What every source is turned into before a row is looked at: numbered raw rows."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from nlpmtl.errors import DataError, plain


class MalformedRow(NamedTuple):
    """A row that cannot be read at all: what was found in its place, and the rule that it breaks."""

    found: Any
    rule: str


RawRow = Mapping[str, Any] | MalformedRow
"""Column = value, as the source has it."""

_UNSAYABLE = (ValueError, OverflowError, KeyError, pa.ArrowException)
"""What Arrow raises of strings that are no UTF-8, of times that no calendar has, and of time zones that are nowhere."""

NumberedRows = Iterator[tuple[int, RawRow]]
"""Raw rows with their numbers: lines of a text file, rows from 1 elsewhere."""


class MissingColumn(NamedTuple):
    """A column that is in no row of a split: a message that says so, and the nearest column that is, if any."""

    message: str
    near: str | None


class FilePart(NamedTuple):
    """One of several files of a split: its rows have the numbers of its lines, after those of the files before it.

    Args:
        before: the last number of the file before it.
        prefix: what comes before a line's number in errors, such as ``"a.jsonl:"``.
    """

    before: int
    prefix: str


def place(number: int, *, where: str, mark: str, parts: Sequence[FilePart]) -> str:
    """Where a row is in its source, such as ``data/train.jsonl:17`` or ``sst2: train, row 17``."""
    if not parts:
        return f"{where}{mark}{number}"
    part = parts[bisect_left(parts, number, key=lambda one: one.before) - 1]
    return f"{part.prefix}{number - part.before}"


@dataclass(frozen=True)
class RawRows:
    """The rows of one split, to be read once.

    Args:
        where: how an error calls the source.
        mark: what stands between that and a row's number, such as ``":"`` for lines.
        rows: the rows; more columns than are needed do no harm.
        columns: the columns of the source where it names them before its rows, else empty.
        class_names: the names behind the integers of a column, where the source keeps both.
        parts: the files, where there are several; they are added as their rows are read.
        uniform: whether every row has all columns, so that the first few show what there is.
    """

    where: str
    mark: str
    rows: NumberedRows
    columns: Sequence[str] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: Sequence[FilePart] = ()
    uniform: bool = False

    def place(self, number: int) -> str:
        """Where a row that has been read is in its source."""
        return place(number, where=self.where, mark=self.mark, parts=self.parts)


def check_distinct(columns: Sequence[str], *, where: str) -> None:
    """DataError if two columns have one name: nobody could say which of them is meant."""
    repeated = sorted({plain(column) for column, count in Counter(columns).items() if count > 1})
    if repeated:
        raise DataError(f"{where}: each column needs a name of its own; found more than once: {', '.join(repeated)}")


def arrow_rows(batch: pa.Table | pa.RecordBatch) -> Iterator[RawRow]:
    """The rows of an Arrow batch. It may hold what Python cannot say, so a row can fail here."""
    try:
        rows = batch.to_pylist()
    except _UNSAYABLE:
        rows = [_arrow_row(batch.slice(row, 1)) for row in range(batch.num_rows)]
    yield from rows


def _arrow_row(batch: pa.Table | pa.RecordBatch) -> RawRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return MalformedRow(error.object, "not valid UTF-8")
    except _UNSAYABLE as error:
        return MalformedRow(None, f"a value that cannot be read: {error}")
    return row

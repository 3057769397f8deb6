"""Raw rows: the rows of a source before validation, one mapping per row, with the row's location."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from nlpmtl.errors import DataError, escape_control_characters


class MalformedRow(NamedTuple):
    """A row that cannot be parsed: the text or value in its place, and the rule that it breaks."""

    value: Any
    rule: str


RawRow = Mapping[str, Any] | MalformedRow
"""Column → value, as the source has it."""

_CONVERSION_ERRORS = (ValueError, OverflowError, KeyError, pa.ArrowException)
"""Arrow's exceptions for values that Python cannot represent: invalid UTF-8, out-of-range times, unknown time zones."""

NumberedRows = Iterator[tuple[int, RawRow]]
"""Raw rows with their numbers: line numbers in text files, else row numbers from 1."""


class MissingColumn(NamedTuple):
    """A column that a split does not have: an error message, and the most similar existing column, if any."""

    message: str
    nearest: str | None


class FilePart(NamedTuple):
    """One of the files of a split, whose rows are numbered after those of the files before it.

    Args:
        before: the last row number of the previous file.
        prefix: prefix of a line number in errors, such as ``"a.jsonl:"``.
    """

    before: int
    prefix: str


def location(number: int, *, where: str, separator: str, files: Sequence[FilePart]) -> str:
    """Return the location of a row in its source, such as ``data/train.jsonl:17`` or ``sst2: train, row 17``."""
    if not files:
        return f"{where}{separator}{number}"
    file = files[bisect_left(files, number, key=lambda part: part.before) - 1]
    return f"{file.prefix}{number - file.before}"


@dataclass(frozen=True)
class RawRows:
    """The rows of one split, which can be read once.

    Args:
        where: the name of the source in error messages.
        separator: separator between that name and the number of a row, such as ``":"`` before line numbers.
        rows: the rows; they may have more columns than needed.
        columns: the columns of the source if it declares them before its rows, else empty.
        class_names: the label names of each ClassLabel column.
        files: the files of the split if there are several; each is added when its rows are read.
        uniform: whether every row has all columns, so that the first rows show which columns exist.
        is_table: whether all values are the strings in the cells of a table.
    """

    where: str
    separator: str
    rows: NumberedRows
    columns: Sequence[str] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Sequence[FilePart] = ()
    uniform: bool = False
    is_table: bool = False

    def place(self, number: int) -> str:
        """Return the location of a row that has been read in its source."""
        return location(number, where=self.where, separator=self.separator, files=self.files)


def check_distinct(columns: Sequence[str], *, where: str) -> None:
    """Raise DataError if two columns have the same name."""
    repeated = sorted({escape_control_characters(column) for column, count in Counter(columns).items() if count > 1})
    if repeated:
        raise DataError(f"{where}: duplicate column names: {', '.join(repeated)}; give each column its own name")


def arrow_rows(batch: pa.Table | pa.RecordBatch) -> Iterator[RawRow]:
    """Yield the rows of an Arrow batch; a row that Python cannot represent is a `MalformedRow`."""
    try:
        rows = batch.to_pylist()
    except _CONVERSION_ERRORS:
        rows = [_arrow_row(batch.slice(row, 1)) for row in range(batch.num_rows)]
    yield from rows


def _arrow_row(batch: pa.Table | pa.RecordBatch) -> RawRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return MalformedRow(error.object, "not valid UTF-8")
    except _CONVERSION_ERRORS as error:
        return MalformedRow(None, f"a value that cannot be read: {error}")
    return row

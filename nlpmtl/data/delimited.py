"""Tables in text files (csv, tsv): records of fields under a header, quoted or not."""

from __future__ import annotations

import csv
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from nlpmtl.config.dataset import DataConfig
from nlpmtl.data.input_parsing import has_surrogate
from nlpmtl.data.lines import LONGEST_LINE, UTF_8, skip_empty, strip_line_end, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow, check_distinct
from nlpmtl.errors import DataError

_LONGEST_FIELD = min(sys.maxsize, 2**31 - 1)
_FIELD_LIMIT = threading.Lock()
_MAYBE_QUOTED = '; if its fields are in double quotes, set quoting = "minimal"'


@dataclass(frozen=True)
class TextFormat:
    """How text files are written.

    Args:
        delimiter: what separates fields; None: a comma in .csv files, a tab in .tsv files.
        quoting: "minimal": a field may be in double quotes; "none": quotes are ordinary characters; None: "minimal" in
            .csv files, "none" in .tsv files.
        encoding: the name of a codec.
        header: whether the first line names the columns, else their names; False names them "0", "1", ….
    """

    delimiter: str | None = None
    quoting: str | None = None
    encoding: str = UTF_8
    header: bool | Sequence[str] = True

    @classmethod
    def of(cls, data: DataConfig) -> Self:
        """The format that a config describes."""
        return cls(data.delimiter, data.quoting, data.encoding, data.header)

    def for_file(self, path: str) -> TextFormat:
        """This format with the defaults of a file's kind."""
        tabs = path.lower().removesuffix(".gz").endswith(".tsv")
        delimiter = self.delimiter or ("\t" if tabs else ",")
        return TextFormat(delimiter, self.quoting or ("none" if tabs else "minimal"), self.encoding, self.header)


def read_table(lines: Iterator[str], *, format: TextFormat, labels: Collection[str], where: str) -> NumberedRows:
    """The rows of a table. The number of a row is that of the line where it starts.

    Args:
        lines: its lines, with their line ends.
        format: how it is written, with the defaults filled in.
        labels: the columns whose empty cells are null; elsewhere they are empty texts.
        where: the file's name in errors.

    Raises:
        DataError: the header cannot be read, or names a column twice.
    """
    assert format.delimiter is not None
    quoted = format.quoting != "none"
    split = _quoted if quoted else _unquoted
    records = skip_empty(split(_Lines(lines), format.delimiter, format.encoding), where=where)
    columns: _Columns | None = None
    if format.header is True:
        _, header = next(records, (1, []))
        if isinstance(header, MalformedRow):
            raise DataError(f"{where}: the header: {header.rule}")
        columns = _Columns(header, labels=labels, where=where)
    elif format.header is not False:
        columns = _Columns(format.header, labels=labels, where=where)
    for number, record in records:
        if isinstance(record, MalformedRow):
            yield number, record
            continue
        if columns is None:
            columns = _Columns([str(column) for column in range(len(record))], labels=labels, where=where)
        yield number, columns.row(record, quoted=quoted)


class _Columns:
    """The columns of a table. Spreadsheets leave columns without a name at the end: those are not read.

    Args:
        names: the names in the order of the fields.
        labels: the columns whose empty cells are null.
        where: the file's name in errors.

    Raises:
        DataError: two columns have the same name.
    """

    def __init__(self, names: Sequence[str], *, labels: Collection[str], where: str) -> None:
        self._names = [name if name.strip() else "" for name in names]
        check_distinct([name for name in self._names if name], where=where)
        self._needed = max((place for place, name in enumerate(self._names, 1) if name), default=0)
        self._labels = labels

    def row(self, fields: Sequence[str], *, quoted: bool) -> RawRow:
        """The fields of a record by their column. Spreadsheets also leave out, or add, empty fields at the end."""
        if not self._needed <= len(fields) <= len(self._names) and (
            len(fields) < self._needed or any(fields[len(self._names) :])
        ):
            hint = _MAYBE_QUOTED if not quoted and any(field.startswith('"') for field in fields) else ""
            return MalformedRow(fields, f"{len(fields)} field(s) under a header of {len(self._names)}{hint}")
        cells = zip(self._names, fields, strict=False)
        return {name: value if value or name not in self._labels else None for name, value in cells if name}


class _Lines:
    """Lines, counted; some can be put back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._held = lines, deque[str]()
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._held.popleft() if self._held else next(self._lines)
        self.number += 1
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """These come next, again."""
        self._held.extendleft(reversed(lines))
        self.number -= len(lines)


_Records = Iterator[tuple[int, list[str] | MalformedRow | None]]


def _unquoted(lines: _Lines, delimiter: str, encoding: str) -> _Records:
    for line in lines:
        text = strip_line_end(line)
        yield lines.number, _checked(text.split(delimiter), encoding) if text else None


def _quoted(lines: _Lines, delimiter: str, encoding: str) -> _Records:
    """A record that cannot be read takes one line only: those after it are read again, each as a record of its own."""
    alone = 0
    for line in lines:
        number, text = lines.number, strip_line_end(line)
        if '"' not in text:
            if "\r" in text and not has_surrogate(text):  # in UTF-16, a NUL is between it and the line feed
                yield number, MalformedRow(text, "not valid csv: a carriage return outside of quotes")
            else:
                yield number, _checked(text.split(delimiter), encoding) if text else None
            alone = max(0, alone - 1)
            continue
        record, taken = _quoted_record(line, lines if not alone else iter(()), delimiter)
        if isinstance(record, MalformedRow):
            lines.put_back(taken)
            alone = max(alone, len(taken) + 1)
        alone = max(0, alone - 1)
        yield number, record if isinstance(record, MalformedRow) else _checked(record, encoding)


def _quoted_record(line: str, lines: Iterator[str], delimiter: str) -> tuple[list[str] | MalformedRow, list[str]]:
    """A record that starts with a line, and the lines after it that were read for it."""
    taken: list[str] = []

    def following() -> Iterator[str]:
        yield line
        length = len(line)
        for one in lines:
            taken.append(one)
            length += len(one)
            if length > LONGEST_LINE:
                return
            yield one

    reader = csv.reader(following(), delimiter=delimiter, strict=True)
    # Python's limit on the size of a field, too small for long texts, holds for the whole process: it is put back
    # after each record.
    with _FIELD_LIMIT:
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            return next(reader), taken
        except csv.Error as error:
            return MalformedRow(None, f"not valid csv: {error}"), taken
        finally:
            csv.field_size_limit(before)


def _checked(record: list[str], encoding: str) -> list[str] | MalformedRow:
    if any(map(has_surrogate, record)):
        return MalformedRow(record, undecodable(encoding, record[0]))
    if any("\0" in field for field in record):
        return MalformedRow(record, "a NUL character")
    return record

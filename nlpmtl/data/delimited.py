"""CSV and TSV: records of fields with a header, with or without quoting."""

from __future__ import annotations

import csv
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from nlpmtl.config.dataset import AUTO, DataConfig
from nlpmtl.data.lines import LONGEST_LINE, UTF_8, skip_empty, strip_line_end, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow, check_distinct
from nlpmtl.errors import DataError
from nlpmtl.strict_json import has_surrogate

_LONGEST_FIELD = min(sys.maxsize, 2**31 - 1)
_FIELD_LIMIT = threading.Lock()
_MAYBE_QUOTED = '; if its fields are in double quotes, set quoting = "minimal"'


@dataclass(frozen=True)
class TextFormat:
    """The format of text files, and of the exports of annotation tools.

    Args:
        delimiter: field separator; default: a comma in .csv files, a tab in .tsv files. A .txt file is a table if it is
            given.
        quoting: "minimal": a field may be in double quotes; "none": quotes are ordinary characters; default: "none" for
            .tsv files, and for .txt files with tabs; otherwise "minimal".
        encoding: name of a codec.
        header: True: the first line has the column names. A list: the names. False: columns are named "0", "1", …
        columns: CoNLL files: index of each column; None: see `nlpmtl.data.conll.Layout`.
        tool: the annotation tool that exported the files, or "auto"; None: JSON values are not converted.
        separator: separator of the items of a list in one cell; None: such a cell is a JSON list.
    """

    delimiter: str | None = None
    quoting: str | None = None
    encoding: str = UTF_8
    header: bool | Sequence[str] = True
    columns: Mapping[str, int] | None = None
    tool: str | None = AUTO
    separator: str | None = None

    @classmethod
    def of(cls, data: DataConfig) -> Self:
        """Return the format of a dataset config."""
        return cls(data.delimiter, data.quoting, data.encoding, data.header, data.columns, data.format, data.separator)

    def for_file(self, path: str) -> TextFormat:
        """Return this format with the defaults for a file's extension."""
        name = path.lower().removesuffix(".gz")
        tabs = name.endswith(".tsv") or (name.endswith(".txt") and self.delimiter == "\t")
        delimiter = self.delimiter or ("\t" if tabs else ",")
        return replace(self, delimiter=delimiter, quoting=self.quoting or ("none" if tabs else "minimal"))


def read_table(lines: Iterator[str], *, format: TextFormat, labels: Collection[str], where: str) -> NumberedRows:
    """Yield the rows of a table; the arguments and errors are those of `open_table`."""
    yield from open_table(lines, format=format, labels=labels, where=where).rows


class Table(NamedTuple):
    """The column names of a table, if it has a header, and its rows; the number of a row is that of its first line."""

    columns: Sequence[str]
    rows: NumberedRows


def open_table(
    lines: Iterator[str], *, format: TextFormat, labels: Collection[str], where: str, name_all: bool = False
) -> Table:
    """Read the header of a table; its rows are read during iteration.

    Args:
        lines: the lines, with their line endings.
        format: the format, as `TextFormat.for_file` returns it.
        labels: the columns whose empty or blank cells are null; an empty cell of another column is an empty text.
        where: the file's name in errors.
        name_all: whether columns without a name, which spreadsheets append, are read as "Unnamed: 0", "Unnamed: 1", …,
            by their index, as pandas names them; otherwise they are not read.

    Raises:
        DataError: the header cannot be read, or has duplicate column names.
    """
    assert format.delimiter is not None
    quoted = format.quoting != "none"
    parse = _quoted if quoted else _unquoted
    records = skip_empty(parse(_Lines(lines), format.delimiter, format.encoding), where=where)
    columns: _Columns | None = None
    if format.header is True:
        _, header = next(records, (1, []))
        if isinstance(header, MalformedRow):
            raise DataError(f"{where}: the header: {header.rule}")
        if header and header[0].startswith("sep=") and len(header) <= 2:
            rule = "names the delimiter for Excel: remove the line, and write the delimiter as `data.delimiter`"
            raise DataError(f"{where}: the first line, {format.delimiter.join(header)!r}, {rule}")
        columns = _Columns(header, labels=labels, where=where, name_all=name_all)
    elif format.header is not False:
        columns = _Columns(format.header, labels=labels, where=where, name_all=name_all)

    def read_rows() -> NumberedRows:
        nonlocal columns
        for number, record in records:
            if isinstance(record, MalformedRow):
                yield number, record
                continue
            if columns is None:
                names = [str(column) for column in range(len(record))]
                columns = _Columns(names, labels=labels, where=where, name_all=name_all)
            yield number, columns.row(record, quoted=quoted)

    return Table([name for name in columns.names if name] if columns else (), read_rows())


class _Columns:
    """The columns of a table. Trailing columns without a name, which spreadsheets append, may be missing from a record.

    Args:
        names: the column names, in the order of the fields.
        labels: the columns whose empty or blank cells are null.
        where: the file's name in errors.
        name_all: whether unnamed columns are read as "Unnamed: 0", …; otherwise they are not read.

    Raises:
        DataError: two columns have the same name.
    """

    def __init__(self, names: Sequence[str], *, labels: Collection[str], where: str, name_all: bool) -> None:
        unnamed = "Unnamed: {}" if name_all else ""
        self.names = [name if name.strip() else unnamed.format(index) for index, name in enumerate(names)]
        check_distinct([name for name in self.names if name], where=where)
        self._needed = max((number for number, name in enumerate(names, 1) if name.strip()), default=0)
        self._labels = labels

    def row(self, fields: Sequence[str], *, quoted: bool) -> RawRow:
        """Return a record as column → field, or a malformed row.

        Fields of trailing unnamed columns may be missing; extra fields must be empty.
        """
        if len(fields) < self._needed or any(fields[len(self.names) :]):
            hint = _MAYBE_QUOTED if not quoted and any(field.startswith('"') for field in fields) else ""
            return MalformedRow(fields, f"{len(fields)} field(s), but the header has {len(self.names)}{hint}")
        cells = zip(self.names, fields, strict=False)
        return {name: value if name not in self._labels or value.strip() else None for name, value in cells if name}


class _Lines:
    """An iterator over lines that counts them and can push lines back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._pushed_back = lines, deque[str]()
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else next(self._lines)
        self.number += 1
        return line

    def push_back(self, lines: Sequence[str]) -> None:
        """Push lines back, so that they are read again."""
        self._pushed_back.extendleft(reversed(lines))
        self.number -= len(lines)


_Records = Iterator[tuple[int, list[str] | MalformedRow | None]]


def _unquoted(lines: _Lines, delimiter: str, encoding: str) -> _Records:
    for line in lines:
        text = strip_line_end(line)
        yield lines.number, _validate_record(text.split(delimiter), encoding) if text else None


def _quoted(lines: _Lines, delimiter: str, encoding: str) -> _Records:
    """Parse quoted records. If a record is malformed, each of its lines is parsed again as a separate record."""
    single_lines = 0  # lines still to be parsed separately
    for line in lines:
        number, text = lines.number, strip_line_end(line)
        if '"' not in text:
            if "\r" in text and not has_surrogate(text):  # surrogates: UTF-16, which `_validate_record` reports
                yield number, MalformedRow(text, "not valid csv: a carriage return outside of quotes")
            else:
                yield number, _validate_record(text.split(delimiter), encoding) if text else None
            single_lines = max(0, single_lines - 1)
            continue
        record, taken = _quoted_record(line, lines if not single_lines else iter(()), delimiter)
        if isinstance(record, MalformedRow):
            lines.push_back(taken)
            single_lines = max(single_lines, len(taken) + 1)
        single_lines = max(0, single_lines - 1)
        yield number, record if isinstance(record, MalformedRow) else _validate_record(record, encoding)


def _quoted_record(line: str, lines: Iterator[str], delimiter: str) -> tuple[list[str] | MalformedRow, list[str]]:
    """Parse the record that starts with a line; return it and the following lines that it spans."""
    taken: list[str] = []

    def following() -> Iterator[str]:
        yield line
        length = len(line)
        for next_line in lines:
            taken.append(next_line)
            length += len(next_line)
            if length > LONGEST_LINE:
                return
            yield next_line

    reader = csv.reader(following(), delimiter=delimiter, strict=True)
    # The limit on the size of a field is too small for long texts and global, so it is raised for this record and then
    # restored.
    with _FIELD_LIMIT:
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            return next(reader), taken
        except csv.Error as error:
            return MalformedRow(None, f"not valid csv: {error}"), taken
        finally:
            csv.field_size_limit(before)


def _validate_record(record: list[str], encoding: str) -> list[str] | MalformedRow:
    if any(map(has_surrogate, record)):
        return MalformedRow(record, undecodable(encoding, record[0]))
    if any("\0" in field for field in record):
        return MalformedRow(record, "contains a NUL character")
    return record

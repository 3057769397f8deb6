"""Files of rows to predict for, read in chunks of rows with all their columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from nlpmtl.data.binary_files import Progress, ignore_progress, open_seekable, reading
from nlpmtl.data.conll import name_columns
from nlpmtl.data.delimited import TextFormat, open_table
from nlpmtl.data.detect_format import detect_format
from nlpmtl.data.files import describe_file, open_file, read_texts
from nlpmtl.data.json_files import to_rows
from nlpmtl.data.json_values import read_json_lines
from nlpmtl.data.lines import read_file_lines, read_lines
from nlpmtl.data.raw_rows import NumberedRows, RawRow, arrow_rows, check_distinct
from nlpmtl.file_prediction.targets import LINES
from nlpmtl.tasks import Task

CHUNK_ROWS = 2048
"""Rows that are predicted and saved at once: a multiple of what `Predictor` sorts by length at once."""
TABLES = (".csv", ".tsv")
"""Endings of tables, without ``.gz``."""
_JSON = re.compile(r'\s*(\{\s*(["}]|$)|\[\s*(\{|$))')
"""The first line of JSON: the beginning of an object, or of an array of objects, which is then an invalid row."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file.

    Args:
        where: the file with a separator, which precedes the number of a row in errors.
        numbers: number of each row in its file: its line, or its index from 1 in a Parquet file.
        content: the rows, or the table that has them.
    """

    where: str
    numbers: Sequence[int]
    content: Sequence[RawRow] | pa.Table

    def rows(self, columns: Collection[str] | None = None) -> Sequence[RawRow]:
        """Return the rows. From a table only some columns can be read; a row of another file has all of its columns."""
        if not isinstance(self.content, pa.Table):
            return self.content
        names = self.content.column_names
        return list(arrow_rows(self.content.select([name for name in names if columns is None or name in columns])))

    def place(self, index: int) -> str:
        """Return where a row is, for errors."""
        return f"{self.where}{self.numbers[index]}"


@dataclass(frozen=True)
class RowFile:
    """A file of rows.

    Args:
        path: its path.
        type: "lines" with one text each, a CSV or TSV "table", "json" values (or rows of another text format), or
            "parquet".
        columns: its column names, if it declares them; otherwise each row has names of its own.
        schema: the schema of a Parquet file.
        chunks: the chunks, which can be read once.
    """

    path: str
    type: Literal["lines", "table", "json", "parquet"]
    columns: Sequence[str]
    chunks: Iterator[Chunk]
    schema: pa.Schema | None = None


def table_ending(name: str) -> str | None:
    """Return ".csv" or ".tsv" for the name of a table, None for another file."""
    plain = name.lower().removesuffix(".gz")
    return next((ending for ending in TABLES if plain.endswith(ending)), None)


def complete_format(path: str, format: TextFormat) -> TextFormat:
    """Return the format of a text file: a delimiter of a table that is not given is detected from the first rows.

    The quoting is not detected: a file is read as in training, and each line of a .tsv file is a row.
    """
    is_detected = table_ending(path) is not None and format.delimiter is None
    delimiter = detect_format(path).delimiter if is_detected else format.delimiter
    return replace(format, delimiter=delimiter, tool=None).for_file(path)


def trained_columns(path: str, tasks: Iterable[Task], *, encoding: str) -> dict[str, int] | None:
    """Return the columns of a CoNLL file, with the names of those that the tasks were trained on.

    Returns:
        The index of each column, by name; None if the columns have their default names.

    Raises:
        ConfigError: the file does not have a column that the tasks were trained on.
        DataError: the file cannot be read.
    """
    named: Mapping[str, int] = {name: index for task in tasks for name, index in task.conll_columns.items()}
    if not named or path.lower().endswith(LINES):
        return None
    columns = describe_file(path, encoding=encoding).columns
    return name_columns(columns, named, where=path) if columns else None


def open_row_file(path: str, *, format: TextFormat, progress: Progress = ignore_progress) -> RowFile:
    """Return a file of rows, which are read during iteration.

    A .txt file has one text per line, in the column ``text``.

    Args:
        path: the file; its ending is one of those of `find_targets`.
        format: the format of a text file, as `complete_format` returns it.
        progress: is called with the number of bytes read.

    Raises:
        DataError: the file cannot be read, or has duplicate column names.
    """
    name = path.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        with open_seekable(path) as file, reading(path):
            schema = pq.read_schema(file)
        check_distinct(schema.names, where=path)
        return RowFile(path, "parquet", schema.names, _read_tables(path, progress=progress), schema)
    if table_ending(path) is not None:
        lines = read_file_lines(path, encoding=format.encoding, progress=progress)
        table = open_table(lines, format=format, labels=(), where=path, name_all=True)
        return RowFile(path, "table", table.columns, _split(table.rows, where=f"{path}:"))
    if path.lower().endswith(LINES):
        return _open_texts(path, read_file_lines(path, encoding=format.encoding, progress=progress), format.encoding)
    rows = open_file(path, format=format, progress=progress)
    return RowFile(path, "json", (), _split(rows.rows, where=f"{path}{rows.separator}"))


def open_stream(name: str, stream: IO[bytes], *, encoding: str) -> RowFile:
    """Return the rows of a stream: JSON Lines if its first line is the beginning of JSON, otherwise a text per line.

    A first line such as ``{"text": "a", "n": NaN}``, which is not valid JSON, is an invalid row, not a text.

    Args:
        name: the name of the stream, for errors.
        stream: the stream, which is read during iteration, its first line now.
        encoding: the name of a codec.
    """
    lines = read_lines(stream, where=name, encoding=encoding)
    first = list(islice(lines, 1))
    lines = chain(first, lines)
    if not (first and _JSON.match(first[0])):
        return _open_texts(name, lines, encoding)
    rows = to_rows(read_json_lines(lines, encoding=encoding, where=name), tool=None, labels={})
    return RowFile(name, "json", (), _split(rows, where=f"{name}:"))


def _open_texts(name: str, lines: Iterator[str], encoding: str) -> RowFile:
    """Return lines with one text each as rows with the column ``text``."""
    return RowFile(name, "lines", ["text"], _split(read_texts(lines, encoding=encoding), where=f"{name}:"))


def _split(rows: NumberedRows, *, where: str) -> Iterator[Chunk]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        numbers, content = zip(*chunk, strict=True)
        yield Chunk(where, numbers, content)


def _read_tables(path: str, *, progress: Callable[[int], object]) -> Iterator[Chunk]:
    """Yield chunks of exactly `CHUNK_ROWS` rows, the last one excepted, whatever the row groups of the file are."""
    first = 1
    with open_seekable(path) as source, reading(path), pq.ParquetFile(source) as file:
        size = Path(path).stat().st_size
        pending: list[Any] = []
        count = rows = 0
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            pending.append(batch)
            count += batch.num_rows
            # Arrow does not report the bytes that it reads: they are estimated from the rows.
            before, rows = rows, rows + batch.num_rows
            progress(size * rows // file.metadata.num_rows - size * before // file.metadata.num_rows)
            if count >= CHUNK_ROWS:
                table = pa.Table.from_batches(pending)
                yield _table_chunk(path, table.slice(0, CHUNK_ROWS), first)
                first += CHUNK_ROWS
                count -= CHUNK_ROWS
                pending = table.slice(CHUNK_ROWS).to_batches()
        if count:
            yield _table_chunk(path, pa.Table.from_batches(pending), first)


def _table_chunk(path: str, table: pa.Table, first: int) -> Chunk:
    return Chunk(f"{path}: row ", range(first, first + table.num_rows), table)

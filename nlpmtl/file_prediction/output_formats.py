"""Formats of predicted files: JSON Lines, CSV, TSV and Parquet. Chunks are encoded one by one, and later joined."""

from __future__ import annotations

import gzip
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.raw_rows import MalformedRow, RawRow
from nlpmtl.errors import DataError, quote
from nlpmtl.file_prediction.inputs import RowInput
from nlpmtl.file_prediction.output_columns import ERROR, PREDICTIONS, OutputColumn, Predictions
from nlpmtl.file_prediction.row_files import Chunk, table_ending
from nlpmtl.file_prediction.scan import TYPE_ADVICE
from nlpmtl.strict_json import dumps, to_json

_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 1 << 16, 64 * 2**20
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Columns of an output file.

    Args:
        columns: columns of the input, which are passed through.
        predictions: columns of predictions.
        errors: whether there is a column of errors.
        schema: types of `columns`, for a Parquet file.
    """

    columns: Sequence[str]
    predictions: Sequence[OutputColumn]
    errors: bool
    schema: pa.Schema | None = None


@dataclass(frozen=True)
class PredictedChunk:
    """A chunk with the predictions of its rows.

    Args:
        chunk: the rows.
        inputs: the rows as inputs, which have the error of each invalid row.
        predictions: the predictions of each row.
    """

    chunk: Chunk
    inputs: Sequence[RowInput]
    predictions: Sequence[Predictions]

    @property
    def errors(self) -> list[str | None]:
        """The error of each invalid row."""
        return [row.error for row in self.inputs]


class OutputFormat(ABC):
    """A format of predicted files.

    Args:
        layout: what the rows have.
        compress: whether the file is compressed with gzip.
    """

    def __init__(self, layout: Layout, *, compress: bool) -> None:
        self._layout, self._compress = layout, compress

    @abstractmethod
    def encode(self, predicted: PredictedChunk) -> bytes:
        """Return a chunk as a part of a file."""

    @abstractmethod
    def join(self, parts: Iterable[Path], output: Path) -> None:
        """Write a file from its parts in order; memory does not depend on their number."""

    def _gzip(self, text: str) -> bytes:
        # A lone surrogate, which JSON can escape, is not valid UTF-8.
        content = text.encode("utf-8", "backslashreplace")
        return gzip.compress(content, compresslevel=6, mtime=0) if self._compress else content

    def _concatenate(self, parts: Iterable[Path], output: Path, *, header: str = "") -> None:
        """Concatenate the parts; the concatenation of gzip files is a gzip file."""
        with output.open("wb") as file:
            if header:
                file.write(self._gzip(header))
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, _COPY_BYTES)


class JsonLines(OutputFormat):
    """JSON Lines: the fields of each row, and its predictions in one more."""

    def encode(self, predicted: PredictedChunk) -> bytes:
        rows = zip(_text_rows(predicted.chunk), predicted.predictions, predicted.inputs, strict=True)
        return self._gzip("".join(self._line(*row) for row in rows))

    def join(self, parts: Iterable[Path], output: Path) -> None:
        self._concatenate(parts, output)

    @staticmethod
    def _line(row: RawRow, predictions: Predictions, input: RowInput) -> str:
        fields: dict[str, Any] = {"text": None} if isinstance(row, MalformedRow) else dict(row)
        if "text" not in fields and isinstance(fields.get("words"), list) and input.joined_words is not None:
            fields["text"] = input.joined_words
        fields[PREDICTIONS] = predictions
        if input.error is not None:
            fields[ERROR] = input.error
        return to_json(fields) + "\n"


class Delimited(OutputFormat):
    """CSV and TSV: cells of text keep their text, other values are JSON, nan or inf; a missing value is an empty cell.

    Args:
        layout: what the rows have.
        compress: whether the file is compressed with gzip.
        format: delimiter and quoting.
    """

    def __init__(self, layout: Layout, *, compress: bool, format: TextFormat) -> None:
        super().__init__(layout, compress=compress)
        assert format.delimiter is not None
        self._delimiter, self._quoted = format.delimiter, format.quoting != "none"

    def encode(self, predicted: PredictedChunk) -> bytes:
        rows = zip(_text_rows(predicted.chunk), predicted.predictions, predicted.errors, strict=True)
        return self._gzip("".join(self._line(self._values(*row)) for row in rows))

    def join(self, parts: Iterable[Path], output: Path) -> None:
        layout = self._layout
        names = [*layout.columns, *(column.name for column in layout.predictions), *([ERROR] if layout.errors else [])]
        self._concatenate(parts, output, header=self._line(names))

    def _values(self, row: RawRow, predictions: Predictions, error: str | None) -> Iterator[Any]:
        fields: Mapping[str, Any] = {} if isinstance(row, MalformedRow) else row
        yield from map(fields.get, self._layout.columns)
        for column in self._layout.predictions:
            yield column.value(predictions)
        if self._layout.errors:
            yield error

    def _line(self, values: Iterable[Any]) -> str:
        return self._delimiter.join(map(self._cell, values)) + "\n"

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has neither nan nor inf
        text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
        marks = (self._delimiter, "\n", "\r")
        if self._quoted and any(mark in text for mark in (*marks, '"')):
            return '"' + text.replace('"', '""') + '"'
        if not self._quoted and any(mark in text for mark in marks):
            raise DataError(
                f"the file has no quotes, as the input, so a cell cannot have the delimiter {self._delimiter!r} or a "
                f"line end, found {quote(text, limit=60)}: write .jsonl or .parquet"
            )
        return text


class Parquet(OutputFormat):
    """Parquet: the columns of the input with their types, and typed columns of predictions."""

    def encode(self, predicted: PredictedChunk) -> bytes:
        layout = self._layout
        assert layout.schema is not None
        if isinstance(predicted.chunk.content, pa.Table):
            table = predicted.chunk.content
        else:
            rows = [{} if isinstance(row, MalformedRow) else row for row in predicted.chunk.rows()]
            table = _to_table(rows, schema=layout.schema, chunk=predicted.chunk)
        for column in layout.predictions:
            table = table.append_column(column.name, column.array(predicted.predictions))
        if layout.errors:
            table = table.append_column(ERROR, pa.array(predicted.errors, type=pa.string()))
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        content: bytes = buffer.getvalue().to_pybytes()
        return content

    def join(self, parts: Iterable[Path], output: Path) -> None:
        with pq.ParquetWriter(output, self._schema()) as writer:
            pending: list[pa.Table] = []
            for part in parts:
                pending.append(pq.read_table(part, partitioning=None))
                if (
                    sum(table.num_rows for table in pending) >= _ROW_GROUP_ROWS
                    or sum(table.nbytes for table in pending) >= _ROW_GROUP_BYTES
                ):
                    writer.write_table(pa.concat_tables(pending))
                    pending = []
            if pending:
                writer.write_table(pa.concat_tables(pending))

    def _schema(self) -> pa.Schema:
        schema = self._layout.schema
        assert schema is not None
        for column in self._layout.predictions:
            schema = schema.append(pa.field(column.name, column.type or pa.string()))
        return schema.append(pa.field(ERROR, pa.string())) if self._layout.errors else schema


def _to_table(rows: Sequence[Mapping[str, Any]], *, schema: pa.Schema, chunk: Chunk) -> pa.Table:
    """Return rows as a table.

    Raises:
        DataError: a value does not have the type of its column, such as an integer of more than 53 bits where other
            rows have fractions.
    """
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except pa.ArrowException as error:
        raise DataError(
            f"{chunk.place(0)} to {chunk.numbers[-1]}: a value cannot be written to Parquet with the type that other "
            f"rows have in its column: {error}; {TYPE_ADVICE}"
        ) from error


def make_format(name: str, layout: Layout, *, source: str, format: TextFormat) -> OutputFormat:
    """Return the format of an output file.

    A table with the ending of its input has the delimiter and the quoting of the input.

    Args:
        name: name of the output.
        layout: what its rows have.
        source: name of the input.
        format: format of the input.
    """
    ending, compress = table_ending(name), name.lower().endswith(".gz")
    if name.lower().endswith(".parquet"):
        return Parquet(layout, compress=False)
    if ending is None:
        return JsonLines(layout, compress=compress)
    same = ending == table_ending(source)
    written = format if same else TextFormat("\t" if ending == ".tsv" else ",", "minimal")
    return Delimited(layout, compress=compress, format=written)


def check_text_schema(schema: pa.Schema, *, where: str) -> None:
    """Check that all columns of a Parquet file can be written as text.

    Raises:
        DataError: a column has binary values, or lists or structs of values that JSON does not have.
    """
    for field in schema:
        if not (_is_json(field.type) or _is_castable(field.type)):
            raise DataError(
                f"{where}: the column {field.name!r} has the type {field.type}, which only Parquet can hold: write "
                ".parquet"
            )


def _text_rows(chunk: Chunk) -> Sequence[RawRow]:
    """Return the rows of a chunk with values of JSON; dates, times and decimals are strings."""
    table = chunk.content
    if not isinstance(table, pa.Table):
        return chunk.rows()
    for index, field in enumerate(table.schema):
        if not _is_json(field.type):
            table = table.set_column(index, field.name, pc.cast(table.column(index), pa.string()))
    return Chunk(chunk.where, chunk.numbers, table).rows()


def _is_castable(type_: pa.DataType) -> bool:
    values = type_.value_type if pa.types.is_dictionary(type_) else type_
    if values in (pa.binary(), pa.large_binary(), pa.binary_view()) or pa.types.is_fixed_size_binary(values):
        return False  # as text they would have to be valid UTF-8
    try:
        pa.array([], type=type_).cast(pa.string())
    except pa.ArrowException:
        return False
    return True


def _is_json(type_: pa.DataType) -> bool:
    """Return whether all values of a type are values of JSON."""
    types = pa.types
    if types.is_dictionary(type_):
        return _is_json(type_.value_type)
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return _is_json(type_.value_type)
    if types.is_struct(type_):
        return all(_is_json(field.type) for field in type_)
    strings = types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
    return bool(
        strings
        or types.is_boolean(type_)
        or types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_null(type_)
    )

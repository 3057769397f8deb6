"""Scan of an input file before prediction: its number of rows, its invalid rows, its columns and their types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import DataError
from nlpmtl.file_prediction.inputs import RowParser
from nlpmtl.file_prediction.row_files import Chunk, RowFile

TYPE_ADVICE = "write .jsonl, or one type of value"
"""Advice for a JSON column whose values have no common type."""


@dataclass(frozen=True)
class Scan:
    """Result of reading an input file once, before it is predicted.

    Args:
        rows: number of rows.
        bad_rows: number of invalid rows.
        columns: names of its columns, in the order in which they occur.
        tasks: names of the tasks that can predict for a row.
        schema: types of its columns; None if they were not needed.
    """

    rows: int
    bad_rows: int
    columns: Sequence[str]
    tasks: frozenset[str]
    schema: pa.Schema | None


def scan(
    file: RowFile, parser: RowParser, *, skip: bool, typed: bool, on_rows: Callable[[int], object] = lambda count: None
) -> Scan:
    """Read all rows of a file.

    Args:
        file: the file.
        parser: parses its rows.
        skip: whether invalid rows are counted instead of being an error.
        typed: whether the types of the columns are needed.
        on_rows: is called with the number of rows of each chunk.

    Raises:
        DataError: a row is invalid, or the values of a column have no common type.
    """
    columns = dict.fromkeys(file.columns)
    tasks: set[str] = set()
    rows = bad_rows = 0
    types: dict[str, pa.DataType] = {}
    for chunk in file.chunks:
        for row in parser.parse(chunk):
            if row.error is not None:
                if not skip:
                    raise DataError(row.error)
                bad_rows += 1
            tasks.update(row.tasks)
        if not isinstance(chunk.content, pa.Table):
            for content in chunk.content:
                if not isinstance(content, MalformedRow):
                    columns.update(dict.fromkeys(content))
            if typed and file.type == "json":
                _unify(types, chunk, columns=tuple(columns))
        rows += len(chunk.numbers)
        on_rows(len(chunk.numbers))
    schema = file.schema
    if typed and schema is None:
        text = {} if file.type == "json" else dict.fromkeys(columns, pa.string())
        schema = pa.schema([(column, {**types, **text}[column]) for column in columns])
        _check_schema(schema, where=file.path)
    return Scan(rows, bad_rows, tuple(columns), frozenset(tasks), schema)


def _unify(types: dict[str, pa.DataType], chunk: Chunk, *, columns: Sequence[str]) -> None:
    """Add the types of the values of a chunk to those of the chunks before it."""
    for column in columns:
        values: list[Any] = [None if isinstance(row, MalformedRow) else row.get(column) for row in chunk.rows()]
        before = types.get(column, pa.null())
        try:
            present = pa.schema([(column, pa.array(values).type)])
            unified = pa.unify_schemas([pa.schema([(column, before)]), present], promote_options="permissive")
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            rows = f"{chunk.place(0)} to {chunk.numbers[-1]}"
            raise DataError(
                f"{rows}: the values of {column!r} cannot be a column of Parquet: {error}; {TYPE_ADVICE}"
            ) from None
        types[column] = unified.field(0).type


def _check_schema(schema: pa.Schema, *, where: str) -> None:
    try:
        pq.write_table(schema.empty_table(), pa.BufferOutputStream())
    except pa.ArrowException as error:
        raise DataError(f"{where}: its values cannot be written as Parquet: {error}; {TYPE_ADVICE}") from None

"""Files of rows: JSON lines, csv, tsv and parquet, each row with its place."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nlpmtl.data.delimited import TextFormat, read_table
from nlpmtl.data.features import class_names
from nlpmtl.data.input_parsing import has_surrogate
from nlpmtl.data.labels import LIST_TYPES, LabelType
from nlpmtl.data.lines import Progress, read_file_lines, reading, skip_empty, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow, RawRows, arrow_rows, check_distinct
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import sha256_file

EXTENSIONS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""The files that can be read."""

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_SPACE = " \t\r\n\f\v"
_ROWS_AT_ONCE = 1000


def check_extension(path: str) -> None:
    """ConfigError if a file is of no kind that can be read."""
    if not path.lower().endswith(EXTENSIONS):
        raise ConfigError(f"{path}: the name of a file of rows ends in one of {', '.join(EXTENSIONS)}")


def open_file(
    path: str,
    *,
    inputs: Collection[str],
    labels: Mapping[str, LabelType],
    format: TextFormat | None = None,
    told: Progress = lambda many: None,
) -> RawRows:
    """The rows of a file, which is read as they are asked for.

    Args:
        path: the file; its ending says what it is.
        inputs: the columns of the input.
        labels: the columns of labels, and the shape of each.
        format: how a text file is written.
        told: is called with the number of bytes read; of a parquet file, with the share that its rows take.

    Raises:
        DataError: there is no such file; when rows are asked for: it cannot be read.
    """
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise DataError(f"{path}: no such file")
    text_format = (format or TextFormat()).for_file(path)
    if path.lower().endswith(".parquet"):
        return _open_parquet(path, columns=[*inputs, *labels], told=told)
    lines = read_file_lines(path, encoding=text_format.encoding, progress=told)
    if path.lower().endswith(_TABLES):
        return RawRows(path, ":", read_table(lines, format=text_format, labels=labels, where=path), uniform=True)
    encoding = text_format.encoding
    rows = ((n, _parse_json(line, encoding) if line.strip(_SPACE) else None) for n, line in enumerate(lines, 1))
    return RawRows(path, ":", skip_empty(rows, where=path))


def fingerprint_file(path: str) -> str | None:
    """What the rows of a file are known by: its path, which errors tell, and its bytes; None if it is not there."""
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        return None
    with reading(path):
        return f"{path} {sha256_file(path)}"


def check_lists(path: str, *, words: str | None, labels: Mapping[str, LabelType]) -> None:
    """ConfigError if lists are wanted from a file whose cells hold one value each."""
    lists = [column for column, shape in labels.items() if shape in LIST_TYPES]
    for column in [words, *lists] if words else lists:
        if path.lower().endswith(_TABLES):
            raise ConfigError(f"{path}: column {column!r} holds lists, which a cell cannot; use .jsonl or .parquet")


def _parse_json(line: str, encoding: str) -> RawRow:
    if has_surrogate(line):
        return MalformedRow(line, undecodable(encoding, line))
    try:
        row = _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        return MalformedRow(line.strip(), f"not valid JSON: {error}")
    return row if isinstance(row, dict) else MalformedRow(row, "a JSON object was expected")


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("duplicate key in object")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_JSON = json.JSONDecoder(object_pairs_hook=_distinct_keys, parse_constant=_refuse_constant)


def _open_parquet(path: str, *, columns: Collection[str], told: Progress) -> RawRows:
    with reading(path):
        schema = pq.read_schema(path)
    found: list[str] = schema.names
    check_distinct(found, where=path)
    needed = [column for column in found if column in columns]
    rows = _read_parquet(path, columns=needed, told=told)
    return RawRows(path, ": row ", rows, columns=found, class_names=class_names(schema, columns=needed), uniform=True)


def _read_parquet(path: str, *, columns: list[str], told: Progress) -> NumberedRows:
    number = 0
    with reading(path), pq.ParquetFile(path) as file:
        size = Path(path).stat().st_size
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            told(size * batch.num_rows // max(1, file.metadata.num_rows))
            for row in arrow_rows(batch):
                number += 1
                yield number, row

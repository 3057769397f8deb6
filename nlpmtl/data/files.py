"""Readers of data files: JSON Lines, CSV, TSV and Parquet, with the location of each row."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nlpmtl.data.delimited import TextFormat, read_table
from nlpmtl.data.example import has_surrogate
from nlpmtl.data.features import class_names
from nlpmtl.data.labels import LIST_TYPES, LabelType
from nlpmtl.data.lines import Progress, read_file_lines, reading, skip_empty, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow, RawRows, arrow_rows, check_distinct
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import sha256_file

EXTENSIONS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""The extensions of the supported files."""

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_SPACE = " \t\r\n\f\v"
_ROWS_PER_BATCH = 1000


def check_extension(path: str) -> None:
    """Raise ConfigError for an unsupported file type."""
    if not path.lower().endswith(EXTENSIONS):
        raise ConfigError(f"{path}: unsupported file type; supported extensions: {', '.join(EXTENSIONS)}")


def open_file(
    path: str,
    *,
    inputs: Collection[str],
    labels: Mapping[str, LabelType],
    format: TextFormat | None = None,
    progress: Progress = lambda count: None,
) -> RawRows:
    """Return the rows of a file, which is read during iteration.

    Args:
        path: the file; its extension determines the format.
        inputs: the columns of the input.
        labels: label column = its type.
        format: the format of a text file.
        progress: is called with the number of bytes read (for Parquet, in proportion to the rows).

    Raises:
        DataError: the file does not exist, or, during iteration, it cannot be read.
    """
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise DataError(f"{path}: no such file")
    text_format = (format or TextFormat()).for_file(path)
    if path.lower().endswith(".parquet"):
        return _open_parquet(path, columns=[*inputs, *labels], progress=progress)
    lines = read_file_lines(path, encoding=text_format.encoding, progress=progress)
    if path.lower().endswith(_TABLES):
        return RawRows(path, ":", read_table(lines, format=text_format, labels=labels, where=path), uniform=True)
    encoding = text_format.encoding
    rows = ((n, _parse_json(line, encoding) if line.strip(_SPACE) else None) for n, line in enumerate(lines, 1))
    return RawRows(path, ":", skip_empty(rows, where=path))


def fingerprint_file(path: str) -> str | None:
    """Return a fingerprint of a file: its path, which errors contain, and its sha256; None if it does not exist."""
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        return None
    with reading(path):
        return f"{path} {sha256_file(path)}"


def check_lists(path: str, *, words: str | None, labels: Mapping[str, LabelType]) -> None:
    """Raise ConfigError if a column of lists is to be read from a CSV or TSV file."""
    lists = [column for column, shape in labels.items() if shape in LIST_TYPES]
    for column in [words, *lists] if words else lists:
        if path.lower().endswith(_TABLES):
            raise ConfigError(
                f"{path}: column {column!r} must contain lists, which CSV and TSV cannot hold; use .jsonl or .parquet"
            )


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
    raise ValueError(f"{name} is not a valid JSON number")


_JSON = json.JSONDecoder(object_pairs_hook=_distinct_keys, parse_constant=_refuse_constant)


def _open_parquet(path: str, *, columns: Collection[str], progress: Progress) -> RawRows:
    with reading(path):
        schema = pq.read_schema(path)
    existing: list[str] = schema.names
    check_distinct(existing, where=path)
    needed = [column for column in existing if column in columns]
    rows = _read_parquet(path, columns=needed, progress=progress)
    return RawRows(
        path, ": row ", rows, columns=existing, class_names=class_names(schema, columns=needed), uniform=True
    )


def _read_parquet(path: str, *, columns: list[str], progress: Progress) -> NumberedRows:
    number = 0
    with reading(path), pq.ParquetFile(path) as file:
        size = Path(path).stat().st_size
        for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=columns):
            progress(size * batch.num_rows // max(1, file.metadata.num_rows))
            for row in arrow_rows(batch):
                number += 1
                yield number, row

"""Data files: JSON Lines, CSV, TSV and Parquet, with the location of each row; one or several files per split."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.column_types import column_type
from nlpmtl.data.delimited import TextFormat, read_table
from nlpmtl.data.example import has_surrogate
from nlpmtl.data.labels import LabelType
from nlpmtl.data.lines import Progress, read_file_lines, reading, skip_empty, undecodable
from nlpmtl.data.raw_rows import FilePart, MalformedRow, NumberedRows, RawRow, RawRows, arrow_rows, check_distinct
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import sha256_file

EXTENSIONS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""The extensions of the supported files."""

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_SPACE = " \t\r\n\f\v"
_ROWS_PER_BATCH = 1000
_METADATA_KEY = b"huggingface"
"""Where `datasets` writes the features into a Parquet file."""
_SHOWN_FILES = 3


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
    lists = [column for column, shape in labels.items() if column_type(shape).coding == "names"]
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


def class_names(schema: pa.Schema, *, columns: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the label names of each column that is a ClassLabel or a list of ClassLabels."""
    try:
        features = json.loads((schema.metadata or {})[_METADATA_KEY])["info"]["features"]
        names = {column: _names(features[column]) for column in columns if column in features}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return {column: column_names for column, column_names in names.items() if column_names}


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of a feature; lists and sequences have an item ``feature``, older files a list of one."""
    while isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names or ()) if valid else ()


class Shards:
    """The files of a split, read one after another.

    Args:
        names: paths and patterns; the files that match a pattern are sorted by path.
        inputs: the columns of the input.
        labels: label column = its type.
        format: the format of text files.

    Raises:
        ConfigError: a file has an unsupported type, or is listed twice.
    """

    def __init__(
        self, names: Sequence[str], *, inputs: InputConfig, labels: Mapping[str, LabelType], format: TextFormat
    ) -> None:
        self._names, self._inputs, self._labels, self._format = names, inputs, labels, format
        self._check([name for name in names if not _is_pattern(name)])

    def paths(self) -> list[str]:
        """Return the paths of all files.

        Raises:
            ConfigError: a file has an unsupported type, or is listed twice.
            DataError: no file matches a pattern.
        """
        paths: list[str] = []
        for name in self._names:
            files = sorted(filter(os.path.isfile, glob.glob(name, recursive=True))) if _is_pattern(name) else [name]  # noqa: PTH207
            if not files:
                raise DataError(f"{name}: no file matches this pattern")
            paths += files
        self._check(paths)
        return paths

    def open(self) -> RawRows:
        """Open all files. Raises the errors of `paths` and `open_file`."""
        # Declared as a label, an empty cell of a further input is null, as in the other sources.
        further = set(self._inputs.extra.values()) - {self._inputs.text, self._inputs.pair}
        labels = {**dict.fromkeys(further, "class"), **self._labels}
        shards = [
            open_file(path, inputs=self._inputs.columns, labels=labels, format=self._format) for path in self.paths()
        ]
        first = shards[0]
        if len(shards) == 1:
            return first
        for other in shards[1:]:
            if other.class_names != first.class_names:
                raise DataError(f"{other.where}: its ClassLabel names differ from those of {first.where}")
        parts: list[FilePart] = []
        uniform = all(shard.uniform for shard in shards)
        rows = self._read(shards, parts)
        where = (
            ", ".join(self._names) if len(self._names) <= _SHOWN_FILES else f"{self._names[0]}, … ({len(shards)} files)"
        )
        return RawRows(where, ": row ", rows, class_names=first.class_names, files=parts, uniform=uniform)

    def fingerprint(self) -> str | None:
        """Return the paths, which errors contain, and the digests of all files; None if a file is missing."""
        try:
            fingerprints = [fingerprint_file(path) for path in self.paths()]
        except DataError:
            return None
        return None if None in fingerprints else "\n".join(map(str, fingerprints))

    def _check(self, paths: Sequence[str]) -> None:
        for path in paths:
            check_extension(path)
            check_lists(path, words=self._inputs.words, labels=self._labels)
        files: dict[str, str] = {}
        for path in paths:
            real = os.path.realpath(path)
            other = files.get(real)
            files[real] = path
            if other is not None:
                same = "" if other == path else f", also as {other}"
                raise ConfigError(f"{path}: listed more than once in one split{same}")

    def _read(self, shards: Sequence[RawRows], parts: list[FilePart]) -> NumberedRows:
        """Yield the rows of all files, which must have the same needed columns: a missing one would read as null."""
        needed = {*self._inputs.columns, *self._labels}
        before, first, columns = 0, "", set[str]()
        for shard in shards:
            parts.append(FilePart(before, f"{shard.where}{shard.separator}"))
            present, existing, number = needed & set(shard.columns), set(shard.columns), 0
            for number, row in shard.rows:
                if len(present) < len(needed) and not isinstance(row, MalformedRow):
                    present |= needed & row.keys()
                    existing.update(row)
                yield before + number, row
            before += number
            if not first and existing:
                first, columns = shard.where, present
            if existing and present != columns:
                _raise_missing_column(shard.where, present=present, first=first, columns=columns)


def _raise_missing_column(path: str, *, present: set[str], first: str, columns: set[str]) -> None:
    lacking, missing = (path, columns - present) if columns - present else (first, present - columns)
    other = first if lacking == path else path
    raise ConfigError(
        f"{lacking}: no column {', '.join(map(repr, sorted(missing)))}, which {other} has: all files of a split need "
        "the same columns; write null for a row without a label"
    )


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not os.path.exists(name)  # noqa: PTH110 (exists raises on a long name)

"""Files of rows: JSON lines, csv, tsv and parquet, each row with its place."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import sys
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlpmtl.data.inputs import has_surrogate
from nlpmtl.data.labels import LISTS, Shape
from nlpmtl.data.stream import Broken, Numbered, RawRow, Stream, arrow_rows, check_distinct
from nlpmtl.errors import ConfigError, DataError, plain

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet")
"""The files that can be read."""

_BOM = b"\xef\xbb\xbf"
_LONGEST_FIELD = min(sys.maxsize, 2**31 - 1)
_FIELD_LIMIT = threading.Lock()
_ROWS_AT_ONCE = 1000
_BUFFER = 1 << 16

Told = Callable[[int], object]


def check_ending(path: str) -> None:
    """ConfigError if a file is of no kind that can be read."""
    if not path.lower().endswith(ENDINGS):
        raise ConfigError(f"{path}: the name of a file of rows ends in one of {', '.join(ENDINGS)}")


class CountedFile(io.FileIO):
    """A file that is only read, and tells how many bytes of it each time.

    Args:
        path: the file.
        told: is told.
    """

    def __init__(self, path: str, told: Told) -> None:
        super().__init__(path)
        self._told = told

    def readinto(self, buffer: Any) -> int:
        many = super().readinto(buffer) or 0
        self._told(many)
        return many


def open_counted(path: str, told: Told) -> IO[bytes]:
    """A file to read, which tells how many bytes were read, a buffer at a time."""
    return io.BufferedReader(CountedFile(path, told), _BUFFER)


def open_file(
    path: str, *, inputs: Collection[str], labels: Mapping[str, Shape], told: Told = lambda many: None
) -> Stream:
    """The rows of a file, which is read as they are asked for.

    Args:
        path: the file; its ending says what it is.
        inputs: the columns of the input.
        labels: the columns of labels, and the shape of each.
        told: is told how many more bytes of the file were read; of a parquet file, how many its rows take.

    Raises:
        DataError: there is no such file; when rows are asked for: it cannot be read.
    """
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise DataError(f"{path}: no such file")
    ending = next(ending for ending in ENDINGS if path.lower().endswith(ending))
    if ending == ".parquet":
        return _open_parquet(path, columns=[*inputs, *labels], told=told)
    if ending in (".csv", ".tsv"):
        return Stream(path, ":", _read_csv(path, delimiter="," if ending == ".csv" else "\t", labels=labels, told=told))
    return Stream(path, ":", _read_jsonl(path, compressed=ending == ".jsonl.gz", told=told))


def fingerprint_file(path: str) -> str | None:
    """What the rows of a file are known by: its path, which errors tell, and its bytes; None if it is not there."""
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        return None
    with _reading(path), Path(path).open("rb") as file:
        return f"{path} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def check_lists(path: str, *, words: str | None, labels: Mapping[str, Shape]) -> None:
    """ConfigError if lists are wanted from a file whose cells hold one value each."""
    lists = [column for column, shape in labels.items() if shape in LISTS]
    for column in [words, *lists] if words else lists:
        if path.lower().endswith((".csv", ".tsv")):
            raise ConfigError(f"{path}: column {column!r} holds lists, which a cell cannot; use .jsonl or .parquet")


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {plain(error)}") from error


def _read_jsonl(path: str, *, compressed: bool, told: Told) -> Numbered:
    blank: list[int] = []
    with _reading(path), open_counted(path, told) as file, gzip.open(file) if compressed else file as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                blank.append(number)
                continue
            # Empty lines at the end of a file are nobody's mistake; before a row they are.
            yield from ((empty, Broken("", "an empty line")) for empty in blank)
            blank.clear()
            yield number, _parse_json(line.removeprefix(_BOM) if number == 1 else line)


def _parse_json(line: bytes) -> RawRow:
    try:
        row = _JSON.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Broken(line, "not valid UTF-8")
    except (ValueError, RecursionError) as error:
        return Broken(line.decode("utf-8").strip(), f"not valid JSON: {error}")
    return row if isinstance(row, dict) else Broken(row, "a JSON object was expected")


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_JSON = json.JSONDecoder(object_pairs_hook=_distinct_keys, parse_constant=_refuse_constant)


def _read_csv(path: str, *, delimiter: str, labels: Collection[str], told: Told) -> Numbered:
    """The number of a record is that of the line where it starts. An empty cell of a label is no label."""
    blank: list[int] = []
    # Bytes that are no UTF-8 become lone surrogates here, so that they can be blamed on their record.
    opened = io.TextIOWrapper(open_counted(path, told), "utf-8-sig", "surrogateescape", newline="")
    with _reading(path), opened as lines:
        records = _csv_records(lines, delimiter=delimiter)
        _, header = next(records, (1, []))
        if isinstance(header, Broken):
            raise DataError(f"{path}: the header: {header.rule}")
        check_distinct(header, where=path)
        for number, record in records:
            if not record:
                blank.append(number)
                continue
            yield from ((empty, Broken("", "an empty line")) for empty in blank)
            blank.clear()
            if not isinstance(record, Broken) and len(record) != len(header):
                record = Broken(record, f"{len(record)} field(s) under a header of {len(header)}")
            if isinstance(record, Broken):
                yield number, record
            else:
                yield number, {c: v if v or c not in labels else None for c, v in zip(header, record, strict=True)}


def _csv_records(lines: Iterator[str], *, delimiter: str) -> Iterator[tuple[int, list[str] | Broken]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        record = _csv_record(reader)
        if record is None:
            return
        yield start, record


def _csv_record(reader: Iterator[list[str]]) -> list[str] | Broken | None:
    # Python's limit on the size of a field, too small for long texts, holds for the whole process: it is put back
    # after each record.
    with _FIELD_LIMIT:
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            record = next(reader, None)
        except csv.Error as error:
            return Broken(None, f"not valid csv: {error}")
        finally:
            csv.field_size_limit(before)
    if any(map(has_surrogate, record or ())):
        return Broken(record, "not valid UTF-8")
    if any("\0" in field for field in record or ()):
        return Broken(record, "a NUL character")
    return record


def _open_parquet(path: str, *, columns: Collection[str], told: Told) -> Stream:
    with _reading(path):
        found: list[str] = pq.read_schema(path).names
    check_distinct(found, where=path)
    return Stream(
        path, ": row ", _read_parquet(path, columns=[c for c in found if c in columns], told=told), columns=found
    )


def _read_parquet(path: str, *, columns: list[str], told: Told) -> Numbered:
    number = 0
    with _reading(path), pq.ParquetFile(path) as file:
        size = Path(path).stat().st_size
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            told(size * batch.num_rows // max(1, file.metadata.num_rows))
            for row in arrow_rows(batch):
                number += 1
                yield number, row

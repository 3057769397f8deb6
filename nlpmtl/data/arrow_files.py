"""Parquet files, and directories that ``Dataset.save_to_disk`` wrote: Arrow tables with the features of `datasets`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlpmtl.data.binary_files import Progress, open_seekable, reading
from nlpmtl.data.class_labels import class_names, name_labels
from nlpmtl.data.raw_rows import NumberedRows, RawRows, arrow_rows, check_distinct
from nlpmtl.errors import ConfigError, DataError

_ROWS_PER_BATCH = 1000
_METADATA_KEY = b"huggingface"
"""Key of the features in the metadata of the schemas that `datasets` writes."""
_STATE, _SPLITS = "state.json", "dataset_dict.json"
"""Files of a saved Dataset, and of a saved DatasetDict."""


def open_parquet(path: str, *, columns: Collection[str] | None, progress: Progress) -> RawRows:
    """Return the rows of a Parquet file.

    Args:
        path: the file.
        columns: the columns to read; None: all.
        progress: is called with a number of bytes in proportion to the rows.
    """
    with open_seekable(path) as file, reading(path):
        schema = pq.read_schema(file)
    needed = _select(schema, columns, where=path)
    return _rows(path, schema, needed, _read_parquet(path, columns=needed, progress=progress))


def _read_parquet(path: str, *, columns: list[str], progress: Progress) -> NumberedRows:
    number = 0
    with open_seekable(path) as source, reading(path), pq.ParquetFile(source) as file:
        size = os.path.getsize(path) if os.path.isfile(path) else 0  # noqa: PTH113, PTH202
        for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=columns):
            progress(size * batch.num_rows // max(1, file.metadata.num_rows))
            for row in arrow_rows(batch):
                number += 1
                yield number, row


def is_saved_dataset(path: str) -> bool:
    """Return whether a path is a directory that `datasets` saved, of one split or of several."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (_STATE, _SPLITS))  # noqa: PTH113, PTH118


def open_saved_dataset(path: str, *, columns: Collection[str] | None, progress: Progress) -> RawRows:
    """Return the rows of a directory that ``Dataset.save_to_disk`` wrote.

    Args:
        path: the directory.
        columns: the columns to read; None: all.
        progress: is called with the size of each file that has been read.

    Raises:
        ConfigError: the directory has several splits.
        DataError: it cannot be read.
    """
    directory = Path(path)
    with reading(path):
        if (directory / _SPLITS).is_file():
            splits = _read_list(directory, _SPLITS, "splits")
            shown = ", ".join(f'{split} = "{directory / str(split)}"' for split in splits[:3])
            raise ConfigError(f"{path}: a saved dataset with several splits; write files = {{ {shown} }}")
        try:
            files = [directory / item["filename"] for item in _read_list(directory, _STATE, "_data_files")]
        except (KeyError, TypeError) as error:
            raise _not_saved(directory, _STATE, error) from error
        if not files:
            return RawRows(path, ": row ", iter(()), uniform=True)
        with pa.memory_map(os.fsencode(files[0])) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
    needed = _select(schema, columns, where=path)
    return _rows(path, schema, needed, _read_streams(files, columns=needed, progress=progress))


def _read_list(directory: Path, name: str, key: str) -> list[Any]:
    """Return the list under a key of a JSON file of a saved dataset. Raises DataError if it is not one."""
    try:
        values = json.loads((directory / name).read_text(encoding="utf-8"))[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_saved(directory, name, error) from error
    if not isinstance(values, list):
        raise _not_saved(directory, name, f"`{key}` is not a list")
    return values


def _not_saved(directory: Path, name: str, reason: Exception | str) -> DataError:
    shown = repr(reason) if isinstance(reason, Exception) else reason
    return DataError(f"{directory}: {name} is not that of a saved dataset: {shown}; save it again")


def _read_streams(files: Sequence[Path], *, columns: list[str], progress: Progress) -> NumberedRows:
    number = 0
    for file in files:
        with reading(str(file)), pa.memory_map(os.fsencode(file)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                for part in _parts(batch.select(columns)):
                    for row in arrow_rows(part):
                        number += 1
                        yield number, row
            progress(file.stat().st_size)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
        yield batch.slice(start, _ROWS_PER_BATCH)


def _select(schema: pa.Schema, columns: Collection[str] | None, *, where: str) -> list[str]:
    check_distinct(schema.names, where=where)
    return [column for column in schema.names if columns is None or column in columns]


def _rows(path: str, schema: pa.Schema, columns: list[str], rows: NumberedRows) -> RawRows:
    try:
        features = json.loads((schema.metadata or {})[_METADATA_KEY])["info"]["features"]
        names = class_names(features, columns=columns)
    except (KeyError, TypeError, ValueError, RecursionError):
        features, names = None, {}
    rows = name_labels(rows, features)
    return RawRows(path, ": row ", rows, columns=schema.names, class_names=names, uniform=True)

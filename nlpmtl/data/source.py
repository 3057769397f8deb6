"""Sources of rows: the splits of a dataset in files, in memory, or on the Hub, opened as raw rows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpmtl.config.dataset import DataConfig, InputConfig, are_paths
from nlpmtl.data.class_labels import class_names, name_labels
from nlpmtl.data.column_types import to_lists
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRow, RawRows, arrow_rows, check_distinct
from nlpmtl.data.shards import Shards
from nlpmtl.errors import ConfigError, DataError, quote

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class SplitSource:
    """The source of one split.

    Args:
        open: opens the split for reading.
        fingerprint: returns a string that changes when the rows change; None if that cannot be detected.
    """

    open: Callable[[], RawRows]
    fingerprint: Callable[[], str | None]


_HUB_SPLITS = ("train", "validation", "test")
_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_ROWS_PER_BATCH = 1000


def find_splits(
    data: DataConfig, *, inputs: InputConfig, columns: Mapping[str, LabelType], name: str
) -> dict[str, SplitSource]:
    """Return the sources of a dataset's splits. No rows are read, but a Hub dataset is downloaded.

    Args:
        data: the source of the rows.
        inputs: the columns of the input.
        columns: type of each label column.
        name: the dataset's name in messages.

    Raises:
        ConfigError: a file or a value has an unsupported type, or the name is not a Hub id.
        DataError: the Hub dataset cannot be loaded, or lacks a split.
    """
    if data.files is None:
        return find_hub_splits(data, columns=[*inputs.columns, *columns], name=name)
    return {
        split: _find_source(value, inputs=inputs, labels=columns, format=TextFormat.of(data), where=f"{name}: {split}")
        for split, value in data.files.items()
    }


def _find_source(
    value: Any, *, inputs: InputConfig, labels: Mapping[str, LabelType], format: TextFormat, where: str
) -> SplitSource:
    columns = [*inputs.columns, *labels]
    if are_paths(value):
        names = [str(value)] if isinstance(value, str | Path) else [str(path) for path in value]
        shards = Shards(names, inputs=inputs, labels=labels, format=format)
        return SplitSource(shards.open, shards.fingerprint)
    if isinstance(value, list | tuple):
        return SplitSource(partial(open_list, value, where=where), _no_fingerprint)
    if is_dataframe(value):
        return SplitSource(partial(open_dataframe, value, where=where, columns=columns), _no_fingerprint)
    if _is_dataset(value):
        return SplitSource(partial(_open_dataset, value, where=where, columns=columns), _no_fingerprint)
    raise ConfigError(
        f"{where}: a file path, a list of paths, a datasets.Dataset, a pandas DataFrame or a list of dicts was "
        f"expected, found a value of type {type(value).__name__}"
    )


def _no_fingerprint() -> None:
    """Return no fingerprint: rows in memory may change at any time."""


def _is_dataset(value: object) -> bool:
    """Return whether a value is a `Dataset`, without importing `datasets` (which is slow) for other values."""
    if type(value).__module__.partition(".")[0] != "datasets":
        return False
    from datasets import Dataset

    return isinstance(value, Dataset)


def _open_dataset(dataset: Dataset, *, where: str, columns: Collection[str] | None) -> RawRows:
    features = dataset.features.to_dict()
    needed = [column for column in dataset.column_names if columns is None or column in columns]
    names = class_names(features, columns=needed)
    rows = name_labels(_read_dataset(dataset.select_columns(needed)), features)
    return RawRows(where, ", row ", rows, columns=dataset.column_names, class_names=names, uniform=True)


def _read_dataset(dataset: Dataset) -> NumberedRows:
    number = 0
    for batch in dataset.with_format("arrow").iter(batch_size=_ROWS_PER_BATCH):
        for row in arrow_rows(batch):
            number += 1
            yield number, row


def find_hub_splits(data: DataConfig, *, columns: Collection[str] | None, name: str) -> dict[str, SplitSource]:
    """Download a dataset from the Hub, and return the sources of its splits.

    Args:
        data: the id of the dataset, and its subset, revision and splits.
        columns: the columns to read; None: all.
        name: the dataset's name in messages.

    Raises:
        ConfigError: the name is not a Hub id.
        DataError: the dataset cannot be loaded, or lacks a split.
    """
    _check_hub_id(str(data.hub), where=name)
    loaded = _load_from_hub(data)
    split_names = data.splits or {split: split for split in _HUB_SPLITS if split in loaded}
    missing = sorted(set(split_names.values()) - set(loaded))
    if missing or not split_names:
        what = f"no split {', '.join(map(repr, missing))}" if missing else f"none of {', '.join(_HUB_SPLITS)}"
        raise DataError(
            f"{_describe(data)}: {what}; its splits are {', '.join(loaded)}. Map names with "
            f'splits = {{ train = "{next(iter(loaded), "train")}" }}'
        )
    return {
        ours: SplitSource(
            partial(_open_dataset, loaded[theirs], where=f"{name}: {ours}", columns=columns),
            partial(_fingerprint, loaded[theirs], where=f"{name}: {ours}"),
        )
        for ours, theirs in split_names.items()
    }


def _check_hub_id(hub: str, *, where: str) -> None:
    """Raise ConfigError for a name that `datasets` does not look up on the Hub: a reader, a path or a URL."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    shown, instead = (
        quote(hub, limit=80),
        'To read files write files = { train = "train.jsonl", … } instead of hub',
    )
    if hub.lower() in _PACKAGED_DATASETS_MODULES:
        raise ConfigError(f"{where}: hub: {shown} is a reader of `datasets`, not a dataset on the Hub. {instead}")
    if os.path.exists(hub):  # noqa: PTH110 (exists raises on a long name)
        raise ConfigError(f"{where}: hub: {shown} is a local path, which `datasets` reads first. {instead}")
    if not _HUB_ID.fullmatch(hub):
        raise ConfigError(
            f'{where}: hub: {shown} is not the id of a dataset on the Hub, such as "nyu-mll/glue". {instead}'
        )


def _load_from_hub(data: DataConfig) -> Mapping[str, Dataset]:
    from datasets import load_dataset

    from nlpmtl.hub_response_checks import validated_responses

    try:
        with validated_responses():
            splits: Mapping[str, Dataset] = load_dataset(data.hub, name=data.subset, revision=data.revision)
    except Exception as error:  # the network, the cache and parsers raise errors without a common base class
        raise DataError(
            f"{_describe(data)}: cannot be loaded: {error}\n"
            "Check the id, the subset and the revision. A private or gated dataset needs `hf auth login`. "
            "With HF_HUB_OFFLINE=1 only datasets that were downloaded before can be loaded."
        ) from error
    return splits


def _fingerprint(dataset: Dataset, *, where: str) -> str:
    """Return the fingerprint of `datasets`, which depends on the files and their commit."""
    return f"{where}, row  {dataset._fingerprint}"


def _describe(data: DataConfig) -> str:
    parts = [f"subset {data.subset!r}"] if data.subset else []
    parts += [f"revision {data.revision!r}"] if data.revision else []
    return f"{data.hub} ({', '.join(parts)})" if parts else str(data.hub)


def open_list(rows: Sequence[Any], *, where: str) -> RawRows:
    """Return the rows of a list of dicts."""
    return RawRows(where, ", row ", _read_list(rows))


def open_dataframe(frame: Any, *, where: str, columns: Collection[str]) -> RawRows:
    """Return the rows of a pandas DataFrame; missing values become None.

    Raises:
        DataError: two columns have the same name, or no column name is a string.
    """
    existing = [column for column in frame.columns if isinstance(column, str)]
    if not existing and len(frame.columns):
        shown = quote(list(frame.columns[:3]), limit=60)
        raise DataError(f'{where}: the column names are not strings, found {shown}: set frame.columns = ["text", …]')
    check_distinct(existing, where=where)
    needed = [column for column in existing if column in columns]
    return RawRows(where, ", row ", _read_frame(frame, columns=needed), columns=existing)


def is_dataframe(value: object) -> bool:
    """Return whether a value is a pandas DataFrame, without importing pandas."""
    return any(
        base.__module__.partition(".")[0] == "pandas" and base.__name__ == "DataFrame" for base in type(value).__mro__
    )


def _read_list(rows: Sequence[Any]) -> NumberedRows:
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            yield number, _plain_row(row)
        else:
            yield number, MalformedRow(row, "a dict was expected")


def _read_frame(frame: Any, *, columns: list[str]) -> NumberedRows:
    for start in range(0, len(frame), _ROWS_PER_BATCH):
        chunk = frame.iloc[start : start + _ROWS_PER_BATCH][columns]
        cells = chunk.astype(object).where(chunk.notna(), None)
        for number, row in enumerate(cells.to_dict("records"), start + 1):
            yield number, _plain_row(row)


def _plain_row(row: Mapping[Any, Any]) -> RawRow:
    """Return a row with Python values; a `MalformedRow` if one of them contains itself."""
    try:
        return {column: _plain(value) for column, value in row.items()}
    except RecursionError:
        return MalformedRow(row, "a value contains itself, or is nested too deeply")


def _plain(value: Any) -> Any:
    """Convert NumPy values to Python values, also in lists, and the missing values of pandas (NA, NaT) to None."""
    return None if type(value).__name__ in ("NAType", "NaTType") else to_lists(value)

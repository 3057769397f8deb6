"""From a dataset's config to streams of raw rows, one for each split. The only file that knows the Hub's datasets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpmtl.config.dataset import DataConfig, InputConfig, are_paths
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.in_memory import is_dataframe, open_dataframe, open_list
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import NumberedRows, RawRows, arrow_rows
from nlpmtl.data.shards import Shards
from nlpmtl.errors import ConfigError, DataError, quote

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class SplitSource:
    """One split.

    Args:
        open: begins to read it.
        fingerprint: what the rows are known by: another where they are others; None where nothing tells so much.
    """

    open: Callable[[], RawRows]
    fingerprint: Callable[[], str | None]


_HUB_SPLITS = ("train", "validation", "test")
_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_ROWS_AT_ONCE = 1000


def find_splits(
    data: DataConfig, *, inputs: InputConfig, columns: Mapping[str, LabelType], name: str
) -> dict[str, SplitSource]:
    """The splits of a dataset, none of them read yet.

    Args:
        data: where rows come from.
        inputs: the shape of the input.
        columns: the columns of labels, and the shape of each.
        name: what messages call the dataset.

    Raises:
        ConfigError: a file or a value is of no kind that can be read.
        DataError: the Hub does not have it, or cannot be reached.
    """
    if data.files is None:
        return _find_hub_splits(data, columns=[*inputs.columns, *columns], name=name)
    return {
        split: _find(value, inputs=inputs, labels=columns, format=TextFormat.of(data), where=f"{name}: {split}")
        for split, value in data.files.items()
    }


def _find(
    value: Any, *, inputs: InputConfig, labels: Mapping[str, LabelType], format: TextFormat, where: str
) -> SplitSource:
    columns = [*inputs.columns, *labels]
    if are_paths(value):
        names = [str(value)] if isinstance(value, str | Path) else [str(path) for path in value]
        shards = Shards(names, inputs=inputs, labels=labels, format=format)
        return SplitSource(shards.open, shards.fingerprint)
    if isinstance(value, list | tuple):
        return SplitSource(partial(open_list, value, where=where), _unknown)
    if is_dataframe(value):
        return SplitSource(partial(open_dataframe, value, where=where, columns=columns), _unknown)
    if _is_dataset(value):
        return SplitSource(partial(_open_dataset, value, where=where, columns=columns), _unknown)
    raise ConfigError(
        f"{where}: rows come from the path of a file, a list of paths, a datasets.Dataset, a pandas DataFrame or "
        f"a list of dicts; found a value of type {type(value).__name__}"
    )


def _unknown() -> None:
    """Rows in memory: Python may change them at any time."""


def _is_dataset(value: object) -> bool:
    """Asked by name first, so that `datasets`, which is slow to import, is imported by those who use it."""
    if type(value).__module__.partition(".")[0] != "datasets":
        return False
    from datasets import Dataset

    return isinstance(value, Dataset)


def _open_dataset(dataset: Dataset, *, where: str, columns: Collection[str]) -> RawRows:
    from datasets import ClassLabel

    needed = [column for column in dataset.column_names if column in columns]
    names = {}
    for column in needed:
        feature = dataset.features[column]
        item = getattr(feature, "feature", feature)
        if isinstance(item, ClassLabel):
            names[column] = tuple(item.names)
    rows = _read_dataset(dataset.select_columns(needed))
    return RawRows(where, ", row ", rows, columns=dataset.column_names, class_names=names, uniform=True)


def _read_dataset(dataset: Dataset) -> NumberedRows:
    number = 0
    for batch in dataset.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        for row in arrow_rows(batch):
            number += 1
            yield number, row


def _find_hub_splits(data: DataConfig, *, columns: Collection[str], name: str) -> dict[str, SplitSource]:
    _check_hub_id(str(data.hub), where=name)
    found = _load_from_hub(data)
    wanted = data.splits or {split: split for split in _HUB_SPLITS if split in found}
    missing = sorted(set(wanted.values()) - set(found))
    if missing or not wanted:
        what = f"no split {', '.join(map(repr, missing))}" if missing else f"none of {', '.join(_HUB_SPLITS)}"
        raise DataError(f"{_call(data)}: {what}; it has {', '.join(found)}. `splits` maps our names to its names")
    return {
        ours: SplitSource(
            partial(_open_dataset, found[theirs], where=f"{name}: {ours}", columns=columns),
            partial(_fingerprint, found[theirs], where=f"{name}: {ours}"),
        )
        for ours, theirs in wanted.items()
    }


def _check_hub_id(hub: str, *, where: str) -> None:
    """ConfigError for what `datasets` would not look up on the Hub: its readers' names, paths and addresses."""
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

    try:
        found: Mapping[str, Dataset] = load_dataset(data.hub, name=data.subset, revision=data.revision)
    except Exception as error:  # network, cache and parsers each raise their own kinds, and they share no base
        raise DataError(
            f"{_call(data)}: cannot be loaded: {error}\n"
            "Check the id, the subset and the revision. A private or gated dataset needs `hf auth login`. "
            "With HF_HUB_OFFLINE=1 only what was downloaded before can be loaded."
        ) from error
    return found


def _fingerprint(dataset: Dataset, *, where: str) -> str:
    """`datasets` knows what it loads from the Hub by the files and their commit."""
    return f"{where}, row  {dataset._fingerprint}"


def _call(data: DataConfig) -> str:
    parts = [f"subset {data.subset!r}"] if data.subset else []
    parts += [f"revision {data.revision!r}"] if data.revision else []
    return f"{data.hub} ({', '.join(parts)})" if parts else str(data.hub)

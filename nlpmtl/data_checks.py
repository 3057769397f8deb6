"""Checks of a run's data that need no encoder: files, columns, metrics and label lists.

They read the beginning of each split only. What they cannot decide from it is found when the whole split is read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.data import LabelType
from nlpmtl.data.dataset_reader import DatasetReader, open_reader
from nlpmtl.data.encode import describe_unknown
from nlpmtl.data.raw_rows import MalformedRow, RawRow, RawRows
from nlpmtl.data.validation import check_columns
from nlpmtl.errors import ConfigError, DataError, NlpmtlError
from nlpmtl.metrics import check
from nlpmtl.registry import METRICS, TASKS
from nlpmtl.tasks import build_task, label_shapes

Rows = list[tuple[int, Mapping[str, Any]]]
"""Rows with their numbers."""
_ROWS = 1000
"""Rows of each split that are looked at."""
_SHOWN = 10
"""Unknown labels that an error lists."""


def check_datasets(
    datasets: Mapping[str, DatasetConfig], *, splits: Sequence[str] = ("train", "validation"), tasks: bool = True
) -> None:
    """Check what can be checked before an encoder is loaded or downloaded.

    Args:
        datasets: the datasets by name.
        splits: those that will be read.
        tasks: check the options of tasks too, as training does.

    Raises:
        ConfigError, DataError: a file is missing, a column is not found, a metric is unknown or does not fit its task,
            a label list is too short or lacks a label of the train split; all problems are in one message.
        ConfigError: no dataset has the first of the splits.
    """
    problems: list[NlpmtlError] = []
    known: dict[str, None] = {}
    for name, dataset in datasets.items():
        problems += _problems(name, dataset, splits, tasks=tasks, known=known)
    if problems:
        raise type(problems[0])("\n".join(dict.fromkeys(map(str, problems)))) from None
    if splits[0] not in known:
        reason = f", so there is nothing to learn; found: {', '.join(known)}" if splits[0] == "train" else ""
        name = "`train`" if splits[0] == "train" else repr(splits[0])
        raise ConfigError(f"no dataset has a split {name}{reason}")


def _problems(
    name: str, dataset: DatasetConfig, splits: Sequence[str], *, tasks: bool, known: dict[str, None]
) -> Iterator[NlpmtlError]:
    """What is wrong with a dataset; the names of its splits are added to `known`."""
    for task, options in dataset.tasks.items() if tasks else ():
        try:
            _check_task(task, options, dataset=dataset)
        except NlpmtlError as error:
            yield error
    try:
        columns = label_shapes(name, dataset)
        sources = open_reader(
            dataset.data, input=dataset.input, columns=columns, limit=dataset.limit, name=name, splits=splits
        )
    except NlpmtlError as error:
        yield error
        return
    known.update(dict.fromkeys((*sources.sources, *sources.splits)))
    for split in sources.splits:
        if split in sources.sources:
            try:
                stream = sources.sources[split].open()
                found = _check_columns(stream, dataset, columns=columns, train=split == "train")
                rows = [(number, row) for number, row in found if not isinstance(row, MalformedRow)]
                if len(rows) < len(found) and (dataset.data.on_bad_row == "stop" or not rows):
                    _check_rows(sources)
                if split == "train" and tasks:
                    _check_labels(stream, dataset, rows=rows, columns=columns)
            except NlpmtlError as error:
                yield error


def _check_rows(sources: DatasetReader) -> None:
    """DataError with all rows of a dataset that break a rule, where the first rows show that it will be raised."""
    with suppress(OSError), TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        sources.read(sources.splits, directory=Path(scratch))


def _check_task(name: str, options: TaskOptions, *, dataset: DatasetConfig) -> None:
    kind: Any = TASKS.get(options.kind)
    if options.labels is not None:
        build_task(options, name=name, labels=options.labels, input=dataset.input.shape)
        return
    for metric in options.metrics or ():
        known = METRICS.get(metric).reads if metric in METRICS.names() else ()  # type: ignore[attr-defined]
        reads = next((shape for shape in kind.prediction_types if shape in known), kind.prediction_types[0])
        try:
            check(metric, reads=reads, pos_label=getattr(options, "pos_label", None))
        except NlpmtlError as error:
            raise type(error)(f"task {name!r}: {error}") from None


def _check_columns(
    stream: RawRows, dataset: DatasetConfig, *, columns: Collection[str], train: bool
) -> list[tuple[int, RawRow]]:
    """The first rows, those that cannot be read among them."""
    found = list(islice(stream.rows, _ROWS + 1))
    if not found:
        raise DataError(f"{stream.where}: no row")
    seen = set(stream.columns).union(*(row for _, row in found if not isinstance(row, MalformedRow)))
    if len(found) <= _ROWS or stream.uniform:
        needed = [*dataset.input.columns, *columns] if train else dataset.input.columns
        check_columns(needed, existing=seen, where=stream.where)
    return found


def _check_labels(stream: RawRows, dataset: DatasetConfig, *, rows: Rows, columns: Mapping[str, LabelType]) -> None:
    for options in dataset.tasks.values():
        column = options.label
        if options.labels is None or not isinstance(column, str) or column in stream.class_names:
            continue
        if columns[column] in ("class", "set"):
            known = {unicodedata.normalize("NFC", label).strip() for label in options.labels}
            unknown: dict[str, str] = {}
            for number, row in rows:
                for label in _names(row.get(column)):
                    if unicodedata.normalize("NFC", label).strip() not in known:
                        unknown.setdefault(label, stream.place(number))
            if unknown:
                first = dict(islice(unknown.items(), _SHOWN))
                raise DataError(describe_unknown(first, count=len(unknown), column=column, known=options.labels))


def _names(value: Any) -> Iterator[str]:
    """The names in a cell, without numbers and truth values: those may be other spellings of a label."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, str) and not _is_number(one):
            yield one


def _is_number(text: str) -> bool:
    if text.strip().lower() in ("", "true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True

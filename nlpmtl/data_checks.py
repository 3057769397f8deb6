"""Checks of the data that need no encoder: files, columns, rows, metrics and label lists.

They read only the beginning of each split, and all of a dataset in which they find an invalid row. Later errors are
found when the whole split is read.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.config.dataset import are_paths
from nlpmtl.data import LabelType, column_type, is_missing_value
from nlpmtl.data.dataset_reader import DatasetReader, open_reader
from nlpmtl.data.examples import Examples
from nlpmtl.data.raw_rows import MalformedRow, RawRow, RawRows
from nlpmtl.data.shards import is_pattern, match_files
from nlpmtl.data.targets import describe_unknown
from nlpmtl.data.validation import ValidationIssues, check_columns, validate_rows
from nlpmtl.errors import ConfigError, DataError, NlpmtlError
from nlpmtl.metrics import load_foreign
from nlpmtl.tasks import build_task, check_scoring, label_shapes, parse_context, task_type

_ROWS = 1000
"""Number of rows that are checked per split."""
_MAX_LABELS_IN_MESSAGE = 10


def check_datasets(
    datasets: Mapping[str, DatasetConfig], *, splits: Sequence[str] = ("train", "validation"), tasks: bool = True
) -> None:
    """Check datasets before an encoder is loaded or downloaded.

    Args:
        datasets: the datasets by name.
        splits: the splits that will be read.
        tasks: whether to check the options of the tasks too, as training does.

    Raises:
        ConfigError, DataError: a file or column is missing, a metric or the input does not fit its task, or a label
            list is too short or lacks a label of the train split; all problems are in one message.
        ConfigError: no dataset has the first of the splits.
    """
    problems: list[NlpmtlError] = []
    known: dict[str, None] = {}
    for name, dataset in datasets.items():
        problems += _problems(name, dataset, splits, tasks=tasks, known=known)
    if problems:
        raise type(problems[0])("\n".join(dict.fromkeys(map(str, problems)))) from None
    if splits[0] not in known:
        name = "`train`" if splits[0] == "train" else repr(splits[0])
        raise ConfigError(f"no dataset has a split {name}; splits found: {', '.join(known)}")


def check_not_input(path: str | Path, *, key: str, config: object, datasets: Mapping[str, DatasetConfig]) -> None:
    """Refuse an output that would replace a file that is read.

    Args:
        path: the output.
        key: key or option of the path, for errors.
        config: the run file or dataset file; rows or tables in memory are ignored.
        datasets: its datasets.

    Raises:
        ConfigError: the output is the config file, or a data file.
    """
    values = [config, *(value for dataset in datasets.values() for value in (dataset.data.files or {}).values())]
    paths = [value if isinstance(value, list | tuple) else [value] for value in values if are_paths(value)]
    for name in map(str, chain.from_iterable(paths)):
        for other in match_files(name) if is_pattern(name) else [name]:
            if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):  # noqa: PTH110, PTH121
                raise ConfigError(f"{key}: {path} is an input, which would be replaced: choose another name")


def _problems(
    name: str, dataset: DatasetConfig, splits: Sequence[str], *, tasks: bool, known: dict[str, None]
) -> Iterator[NlpmtlError]:
    """Yield the problems of a dataset, and add the names of its splits to `known`."""
    for task, options in dataset.tasks.items() if tasks else ():
        try:
            _check_task(task, options, dataset=dataset)
        except NlpmtlError as error:
            yield error
    try:
        columns = label_shapes(name, dataset)
        sources = open_reader(
            dataset.data,
            input=dataset.input,
            columns=columns,
            limit=dataset.limit,
            name=name,
            splits=splits,
            context=parse_context(name, dataset),
        )
    except NlpmtlError as error:
        yield error
        return
    known.update(dict.fromkeys((*sources.sources, *sources.splits)))
    for split in sources.splits:
        if split in sources.sources:
            try:
                stream = sources.sources[split].open()
                first_rows = _check_columns(stream, sources.required_columns(split))
                examples = _validate(stream, first_rows, sources=sources)
                if examples.skipped and (dataset.data.on_bad_row == "stop" or not len(examples)):
                    _check_rows(sources)
                # With a limit or a held-out fraction, only some of the first rows are trained on.
                if split == "train" and tasks and "train" not in sources.limit and sources.validation_fraction is None:
                    _check_labels(examples, dataset, columns=columns)
            except NlpmtlError as error:
                yield error


def _validate(stream: RawRows, rows: Sequence[tuple[int, RawRow]], *, sources: DatasetReader) -> Examples:
    """Return the valid ones of the first rows of a split."""
    return validate_rows(
        replace(stream, rows=iter(rows)),
        inputs=sources.input,
        labels=sources.columns,
        required=(),
        issues=ValidationIssues(),
        context=sources.context,
    )


def _check_rows(sources: DatasetReader) -> None:
    """Read a whole dataset, to raise the DataError with all its invalid rows."""
    with suppress(OSError), TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        sources.read(sources.splits, directory=Path(scratch))


def _check_task(name: str, options: TaskOptions, *, dataset: DatasetConfig) -> None:
    if options.labels is not None:
        build_task(options, name=name, labels=options.labels, input=dataset.input.shape)
    kind = task_type(options.kind)
    kind.check_input(dataset.input.shape, task=name)
    try:
        kind.check_dataset(options, dataset)
    except ValueError as error:
        raise ConfigError(f"task {name!r}: {error}") from None
    pos_label = getattr(options, "pos_label", None)
    check_scoring(kind, options.metrics or kind.metrics, task=name, pos_label=pos_label)
    load_foreign(options.metrics or kind.metrics)


def _check_columns(stream: RawRows, required: Collection[str]) -> list[tuple[int, RawRow]]:
    """Check that the columns exist; return the first rows, including invalid ones."""
    first_rows = list(islice(stream.rows, _ROWS + 1))
    if not first_rows:
        raise DataError(f"{stream.where}: no rows")
    available = set(stream.columns).union(*(row for _, row in first_rows if not isinstance(row, MalformedRow)))
    if len(first_rows) <= _ROWS or stream.uniform:
        check_columns(required, existing=available, where=stream.where)
    return first_rows


def _check_labels(examples: Examples, dataset: DatasetConfig, *, columns: Mapping[str, LabelType]) -> None:
    for options in dataset.tasks.values():
        column = next(iter(options.columns), None)
        if column is None or options.labels is None or options.has_column_per_label or column in examples.class_names:
            continue
        type_ = column_type(columns[column])
        if type_.coding in ("name", "names") and not type_.per_word:  # a scheme may change tags
            known = {unicodedata.normalize("NFC", label).strip() for label in options.labels}
            unknown: dict[str, str] = {}
            for index, value in enumerate(examples.table[f"label:{column}"].to_pylist()):
                for label in _names(value):
                    if unicodedata.normalize("NFC", label).strip() not in known:
                        unknown.setdefault(label, examples.place(index))
            if unknown:
                first = dict(islice(unknown.items(), _MAX_LABELS_IN_MESSAGE))
                raise DataError(describe_unknown(first, count=len(unknown), column=column, known=options.labels))


def _names(value: Any) -> Iterator[str]:
    """Yield the label names of a row, except those that may be other spellings of a label, or no label."""
    for label in value if isinstance(value, list) else [value]:
        if label is not None and not _is_number(label) and not is_missing_value(label):
            yield label


def _is_number(text: str) -> bool:
    if text.strip().lower() in ("", "true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True

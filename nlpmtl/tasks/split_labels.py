"""Labels and targets of tasks on the splits of their datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.data import (
    ComputedLabels,
    DatasetLoader,
    LabelColumn,
    LabelMapping,
    TaskMethods,
    TokenizedSplit,
    attach_labels,
    is_coded,
    parse_columns,
    parsed_values,
)
from nlpmtl.errors import DataError
from nlpmtl.plugins import digest_module
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.label_columns import LabelColumns

Splits = dict[str, dict[str, TokenizedSplit]]
"""Split -> dataset -> its labelled rows."""


@dataclass(frozen=True)
class Untrainable:
    """A label that a task cannot be trained on.

    Args:
        index: its index among the rows that `Task.fit` reads.
        reason: the end of the error message, after the name of the task.
    """

    index: int
    reason: str


def label_splits(
    datasets: Mapping[str, DatasetConfig],
    rows: Mapping[str, dict[str, TokenizedSplit]],
    *,
    columns: LabelColumns,
    tasks: Mapping[str, Task],
    weighted: bool,
) -> Splits:
    """Return the splits with the labels of tasks; those of `compute_targets` are parsed, their targets not computed.

    Args:
        datasets: the datasets by name.
        rows: their splits.
        columns: the label columns of the tasks.
        tasks: the tasks by name.
        weighted: whether to read the weights of train rows; metrics count all rows alike.

    Raises:
        DataError: a label of a train split is unknown to its task.
    """
    known = {
        task: {spelling(label): label for label in tasks[task].labels} for task, spelling in columns.spellings.items()
    }
    encoded: Splits = {}
    for name, task in tasks.items():
        tables = (dataset.tasks[name].label_columns for dataset in datasets.values() if name in dataset.tasks)
        task.given_columns = frozenset(key for table in tables for key in table)
    for name, dataset in datasets.items():
        mappings = {
            task: LabelMapping(", ".join(options.columns), tasks[task].columns["label"], tasks[task].labels)
            for task, options in dataset.tasks.items()
            if _is_vectorised(tasks[task])
        }
        for split, tokenized in rows[name].items():
            named = {
                task: _with_known_names(by_key, known[task]) for task, by_key in columns.columns[name][split].items()
            }
            vectorised = {task: named[task]["label"] for task in mappings}
            labelled = attach_labels(tokenized, mappings=mappings, train=split == "train", columns=vectorised)
            parsed = {
                task: _parse(tokenized, tasks[task], options, named=named[task], train=split == "train")
                for task, options in dataset.tasks.items()
                if task not in mappings
            }
            labels = {task: parsed[task] if task in parsed else labelled.labels[task] for task in dataset.tasks}
            weights = _read_weights(tokenized, dataset) if weighted and split == "train" else {}
            labelled = replace(labelled, labels=labels, weights=weights, columns={})  # frees memory
            encoded.setdefault(split, {})[name] = labelled
    return encoded


def _with_known_names(columns: Mapping[str, LabelColumn], known: Mapping[str, str]) -> dict[str, LabelColumn]:
    """Return the label columns of a task, in which its labels have the names that they have in the task.

    Args:
        columns: its columns that have label names, by key.
        known: normalized name of a label → its name in the task.
    """
    shared = {"label"} if "label" in columns else columns.keys()
    return {
        key: column.rename([known.get(name, name) for name in column.names]) if key in shared else column
        for key, column in columns.items()
    }


def _read_weights(split: TokenizedSplit, dataset: DatasetConfig) -> dict[str, NDArray[np.float64]]:
    """Return the weights of the rows of a train split, for the tasks that have a column of them; a missing one is 1."""
    columns = {task: options.weight for task, options in dataset.tasks.items() if options.weight is not None}
    values = {task: np.asarray(split.columns[column].values, dtype=np.float64) for task, column in columns.items()}
    return {task: np.nan_to_num(weights, nan=1.0) for task, weights in values.items()}


def _without_rows_of_weight_0(split: TokenizedSplit) -> TokenizedSplit:
    """Return a split in which rows of weight 0 have no targets for the task, so that a step may consist of them."""
    labels = {
        task: replace(labels, counts=np.where(split.weights[task] > 0, labels.counts, 0))
        for task, labels in split.labels.items()
        if task in split.weights
    }
    return replace(split, labels={**split.labels, **labels}) if labels else split


def _is_vectorised(task: Task) -> bool:
    """Return whether the targets of a task are the labels of a column of a built-in type."""
    keys = set(task.given_columns if "label" in task.any_of else task.columns)
    return task.vectorised and not task.extra_inputs and keys == {"label"} and is_coded(task.columns["label"])


def _parse(
    split: TokenizedSplit, task: Task, options: TaskOptions, *, named: Mapping[str, LabelColumn], train: bool
) -> ComputedLabels:
    """Return the label columns of a task that computes its targets itself; `named` are those with label names, by key.

    Raises:
        DataError: a label of a train split is unknown, for a task type whose label names may be in several columns.
    """
    names = {key: columns[0] for key, columns in options.label_columns.items()}
    columns = {**{key: split.columns[name] for key, name in names.items()}, **named}
    label = named.get("label")
    if label is not None and train and "label" in task.any_of and is_coded(label.type):
        mapping = LabelMapping(", ".join(options.label_columns["label"]), label.type, task.labels)
        attach_labels(split, mappings={task.name: mapping}, train=True, columns={task.name: label})
    needed = [key for key in (*task.columns, *task.extra_inputs) if key not in task.optional | task.any_of]
    return parse_columns(split, columns, names=names, needed=needed, any_of=task.any_of)


def compute_targets(
    datasets: Mapping[str, DatasetConfig], splits: Splits, *, tasks: Mapping[str, Task], load: DatasetLoader
) -> Splits:
    """Return the splits with the sequences and targets that task types define themselves.

    Raises:
        DataError: a method of a task type fails for a row.
    """
    computed: Splits = {}
    for split, rows in splits.items():
        for name, dataset_rows in rows.items():
            methods = {
                task: TaskMethods(
                    None if tasks[task].reads_beginning else tasks[task].sequences,
                    tasks[task].targets if isinstance(labels, ComputedLabels) else None,
                )
                for task, labels in dataset_rows.labels.items()
                if isinstance(labels, ComputedLabels) or tasks[task].window_stride is not None
            }
            if methods:
                depends_on = _depends_on(dataset_rows, [tasks[task] for task in methods], datasets[name])
                dataset_rows = load.compute_targets(dataset_rows, methods, depends_on=depends_on)
            computed.setdefault(split, {})[name] = _without_rows_of_weight_0(dataset_rows)
    return computed


def _depends_on(rows: TokenizedSplit, tasks: Sequence[Task], dataset: DatasetConfig) -> list[Any] | None:
    """Return all that computed targets depend on besides the rows; None if the source of a task type is unknown."""
    parts: list[Any] = []
    for task in tasks:
        labels = rows.labels[task.name]
        types = [base for base in type(task).__mro__ if base is not Task and _defines_targets(base)]
        digests = [digest_module(module) for module in dict.fromkeys(base.__module__ for base in types)]
        if None in digests:
            return None
        parsed = labels.parsed.columns if isinstance(labels, ComputedLabels) else {}
        names = {key: [column.names, list(column.renamed.items())] for key, column in parsed.items()}
        given = [dataset.tasks[task.name].label_columns, sorted(task.given_columns)]
        parts.append([task.name, task.to_config(), digests, names, *given])
    return parts


def _defines_targets(base: type) -> bool:
    """Return whether a base class may affect sequences or targets: a task type, or a mixin that defines one of them."""
    return issubclass(base, Task) or not {"sequences", "targets"}.isdisjoint(vars(base))


def fitted_rows(split: TokenizedSplit, task: str) -> NDArray[np.bool_]:
    """Return which rows of a train split `Task.fit` reads, ``[rows]``: those with a label, except rows of weight 0."""
    labelled = split.labels[task].labelled
    return labelled & (split.weights[task] > 0) if task in split.weights else labelled


def _rows_with_values(split: TokenizedSplit, task: str) -> list[int]:
    """Return the rows of `fitted_rows` that have a value of the key `label`, which is optional for some task types."""
    labels, rows = split.labels[task], fitted_rows(split, task)
    if isinstance(labels, ComputedLabels) and "label" in labels.parsed.columns:
        rows = rows & labels.parsed.columns["label"].labelled
    return np.flatnonzero(rows).tolist()


def train_values(task: str, train: Mapping[str, TokenizedSplit]) -> dict[str, list[Any]]:
    """Return the labels of `fitted_rows` of all train splits, by the key of the label column."""
    values: dict[str, list[Any]] = {}
    for split in train.values():
        labels = split.labels.get(task)
        if isinstance(labels, ComputedLabels):
            parts = parsed_values(split, task, selected=fitted_rows(split, task))
        elif labels is not None:
            parts = {"label": labels.values(np.flatnonzero(fitted_rows(split, task)).tolist())}
        else:
            parts = {}
        for key, part in parts.items():
            values.setdefault(key, []).extend(part)
    return values


def check_values(
    task: Task,
    values: Mapping[str, Sequence[Any]],
    *,
    datasets: Mapping[str, DatasetConfig],
    train: Mapping[str, TokenizedSplit],
) -> None:
    """Raise DataError if the task cannot be trained on a label, such as a number whose square would overflow."""
    problem = task.find_untrainable(values)
    if problem is None:
        return
    places = [
        (name, row)
        for name, rows in train.items()
        if task.name in rows.labels
        for row in _rows_with_values(rows, task.name)
    ]
    name, row = places[problem.index]
    columns = datasets[name].tasks[task.name].columns
    raise DataError(f"{train[name].place(row)}: column {', '.join(columns)!r}: task {task.name!r} {problem.reason}")

"""The list of labels of a task to train: declared, of an earlier model, or the names in the data."""

from __future__ import annotations

from collections.abc import Mapping

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.data import ColumnType, column_type, names_to_bio, sort_names
from nlpmtl.errors import ConfigError
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.fields import task_type
from nlpmtl.tasks.further_names import check_indices, names_of_further_columns
from nlpmtl.tasks.label_columns import LabelColumns, SplitsByDataset, tag_scheme


def find_labels(
    task: str,
    datasets: Mapping[str, DatasetConfig],
    rows: SplitsByDataset,
    *,
    columns: LabelColumns,
    earlier: Task | None,
    options: TaskOptions,
) -> tuple[str, ...]:
    """Return the labels of a task to train, in order.

    They are the declared ones, else those of the model that training continues from, else those of a ClassLabel
    feature, else the names in train, sorted. If the config declares the labels of that model in another order, the
    order of the model is kept, because the outputs of its head have it; except for a task type whose order has a
    meaning.

    Args:
        task: its name.
        datasets: the datasets by name.
        rows: their prepared rows.
        columns: the label columns.
        earlier: the task of this name in the model that training continues from.
        options: the table that describes the task.

    Raises:
        ConfigError: two declared labels are the same label.
    """
    spell = columns.spellings[task]
    declared = options.labels or (options.label_columns["label"] if options.has_column_per_label else None)
    known = earlier.labels if earlier is not None else ()
    if declared:
        labels = names_to_bio([spell(name) for name in declared], tag_scheme(options, None))
        if len(set(labels)) < len(labels):
            raise ConfigError(f"task {task!r}: `labels` lists a label twice: {list(declared)}")
        same = tuple(map(spell, known))
        if earlier is not None and (same == labels or (sorted(same) == sorted(labels) and not earlier.ordered)):
            return known
        return labels
    return known or _labels_in_data(task, datasets, rows, columns=columns, options=options)


def _labels_in_data(
    task: str,
    datasets: Mapping[str, DatasetConfig],
    rows: SplitsByDataset,
    *,
    columns: LabelColumns,
    options: TaskOptions,
) -> tuple[str, ...]:
    """Return the labels of a ClassLabel feature, else the names in train, sorted; see `find_labels`."""
    spell = columns.spellings[task]
    train_names: set[str] = set()
    for dataset, split, column in columns.of(task):
        dataset_options = datasets[dataset].tasks[task]
        kind = column_type(column.type)
        if kind.coding == "number":
            return ()
        if kind.coding == "parsed":
            if split == "train" and kind.names is not ColumnType.names:
                values = rows[dataset][split].stored_values(dataset_options.label_columns["label"][0])
                train_names.update(column.names or {name for value in values for name in kind.names(value)})
            continue
        names = rows[dataset][split].class_names.get(dataset_options.label_columns["label"][0])
        if names is not None and not dataset_options.has_column_per_label:
            return names_to_bio(list(dict.fromkeys(map(spell, names))), tag_scheme(dataset_options, None))
        if split == "train":
            train_names.update(column.names)
    further = {spell(name) for name in names_of_further_columns(task, datasets, rows)}
    if not task_type(options.kind).any_of:
        return sort_names(train_names or further)
    check_indices(task, train_names, further)
    return sort_names(train_names | further)

"""Label names in the columns of a task other than `label`, such as those of soft labels."""

from __future__ import annotations

from collections.abc import Mapping, Set

from nlpmtl.config import DatasetConfig
from nlpmtl.data import TokenizedSplit, column_type, is_coded, sort_names
from nlpmtl.data.label_spelling import is_number
from nlpmtl.errors import ConfigError
from nlpmtl.tasks.fields import task_type

_MAX_LISTED = 6
"""Maximum number of labels of each column in a message."""


def names_of_further_columns(
    task: str, datasets: Mapping[str, DatasetConfig], rows: Mapping[str, Mapping[str, TokenizedSplit]]
) -> set[str]:
    """Return the label names in all columns of a task but `label`, in the train splits.

    Args:
        task: the name of the task.
        datasets: the datasets by name.
        rows: dataset → split → its rows.
    """
    names: set[str] = set()
    for dataset, config in datasets.items():
        options, split = config.tasks.get(task), rows[dataset].get("train")
        if options is None or split is None:
            continue
        types = task_type(options.kind).column_types(options)
        for key, columns in options.label_columns.items():
            if key == "label":
                continue
            type_ = column_type(types[key])
            for name in columns:
                if is_coded(types[key]):
                    names.update(split.columns[name].names)
                else:
                    names.update(label for value in split.stored_values(name) for label in type_.names(value))
    return names


def soft_names(
    task: str, datasets: Mapping[str, DatasetConfig], rows: Mapping[str, Mapping[str, TokenizedSplit]]
) -> set[str]:
    """Return the label names in the soft labels of a task, in the train splits; see `names_of_further_columns`."""
    tables = (config.tasks[task] for config in datasets.values() if task in config.tasks)
    has_soft = any("soft" in options.label_columns for options in tables)
    return names_of_further_columns(task, datasets, rows) if has_soft else set()


def check_indices(task: str, names: Set[str], soft: Set[str]) -> None:
    """Raise ConfigError if labels are names in one column and numbers in another, which may be their indices.

    Args:
        task: the name of the task.
        names: the names in the column `label`.
        soft: the names in soft labels.
    """
    added = any(map(is_number, soft - names)) and not any(map(is_number, names))
    replaced = bool(soft) and all(map(is_number, names)) and not any(map(is_number, soft))
    if names and (added or replaced):
        shown = [", ".join(map(repr, sort_names(group)[:_MAX_LISTED])) for group in (names, soft)]
        raise ConfigError(
            f"task {task!r}: `label` has the labels {shown[0]}, `soft` has {shown[1]}: write the names of the labels "
            f'in both; or, if the numbers are indices, list the labels in order, labels = ["…"] in [tasks.{task}]'
        )

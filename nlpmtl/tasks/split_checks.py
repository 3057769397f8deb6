"""Checks of labelled splits: errors, and messages for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nlpmtl.data import ColumnType, ComputedLabels, TokenizedSplit, column_type
from nlpmtl.errors import ConfigError, DataError, did_you_mean, escape_control_characters, list_some
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.scoring import loss_metrics, needs_predictions
from nlpmtl.tasks.split_labels import Splits

TRUNCATED = "rows are longer than max_length and were truncated"
"""The end of the note about truncated rows."""
_MAX_LISTED = 10
"""Maximum number of unknown labels in an error."""


def row_notes(
    rows: Mapping[str, dict[str, TokenizedSplit]], encoded: Splits, tasks: Mapping[str, Task]
) -> Iterator[str]:
    """Yield messages about skipped rows, truncated rows, and labels that a task never predicts.

    Args:
        rows: dataset → split → its prepared rows.
        encoded: the labelled rows.
        tasks: the tasks by name.
    """
    for split, datasets in encoded.items():
        for name, dataset in datasets.items():
            skipped = rows[name][split].skipped
            if skipped:
                yield f"{name}, {split}: {skipped} bad rows were skipped"
            if dataset.truncated:
                count = f"{dataset.truncated} of {len(dataset)}"
                yield f"{name}, {split}: {count} {TRUNCATED}"
            for task in dataset.labels:
                extra = unknown_labels(tasks[task], dataset)
                if extra:
                    shown = list_some(map(escape_control_characters, extra), limit=5)
                    yield f"{name}, {split}: labels unknown to task {task!r}, scored as errors: {shown}"


def check_validation(tasks: Mapping[str, Task], validation: Mapping[str, TokenizedSplit]) -> None:
    """Raise DataError if all names in a label column of validation are unknown. A tag outside spans does not count."""
    for task in tasks.values():
        unknown: dict[str, dict[str, str]] = {}
        known: set[str] = set()
        for rows in (rows for rows in validation.values() if task.name in rows.labels):
            for key, names in _gold_names(task, rows).items():
                names.pop(task.outside or "", None)
                known |= {key for name in names if task.can_predict(name, key=key)}
                places = {name: rows.place(row) for name, row in names.items() if not task.can_predict(name, key=key)}
                unknown[key] = places | unknown.get(key, {})
        for key, places in unknown.items():
            if places and key not in known:
                raise DataError(_describe_unknown(task, key, places))


def _describe_unknown(task: Task, key: str, places: Mapping[str, str]) -> str:
    """Return the error about a label column of validation without known names, given those names and their rows."""
    listed = ", ".join(repr(escape_control_characters(name)) for name in list(places)[:_MAX_LISTED])
    more = f" and {len(places) - _MAX_LISTED} more" if len(places) > _MAX_LISTED else ""
    first, place = next(iter(places.items()))
    if key != "label" and "label" in task.columns:
        return (
            f"{place}: task {task.name!r}: no name in `{key}` of the validation rows is in that of train, so they "
            f"cannot be scored; found {listed}{more}: write the names as in train"
        )
    return (
        f"{place}: task {task.name!r}: no label of the validation rows is in the task's list of labels, so they "
        f"cannot be scored; found {listed}{more}; {did_you_mean(first, task.labels)}"
    )


def unknown_labels(task: Task, rows: TokenizedSplit) -> tuple[str, ...]:
    """Return the names in the gold labels of a split that the task never predicts."""
    by_key = _gold_names(task, rows).items()
    return tuple(sorted({name for key, names in by_key for name in names if not task.can_predict(name, key=key)}))


def _gold_names(task: Task, rows: TokenizedSplit) -> dict[str, dict[str, int]]:
    """Return the label names in the gold labels of a split: key in `Task.columns` → name → its first row."""
    labels = rows.labels[task.name]
    if not isinstance(labels, ComputedLabels):
        return {"label": {labels.names[i]: row for i, row in labels.first_rows().items()}}
    types = {key: column_type(column.type) for key, column in labels.parsed.columns.items()}
    named = {key: type_.names for key, type_ in types.items() if type_.names is not ColumnType.names}
    first_rows: dict[str, dict[str, int]] = {key: {} for key in named}
    for start, batch in rows.stored_rows() if named else ():
        for row, stored in enumerate(batch, start):
            for key, value in labels.parsed.read(row, stored).items():
                for name in named[key](value) if key in named else ():
                    first_rows[key].setdefault(name, row)
    return first_rows


def target_notes(tasks: Mapping[str, Task], train: Mapping[str, TokenizedSplit]) -> Iterator[str]:
    """Yield the messages of the tasks about the targets that they computed for the train splits."""
    for name, rows in train.items():
        for task in rows.labels:
            for note in _target_notes(tasks[task], rows):
                yield f"{name}, train: task {task!r}: {note}"


def _target_notes(task: Task, rows: TokenizedSplit) -> list[str]:
    """Return the messages of a task about its targets of a split. Rows of weight 0 do not count as excluded."""
    labels = rows.labels[task.name]
    if not isinstance(labels, ComputedLabels) or type(task).target_notes is Task.target_notes:
        return []
    weighted = rows.weights[task.name] > 0 if task.name in rows.weights else True
    excluded_rows = int(np.count_nonzero(labels.labelled & (labels.counts == 0) & weighted))
    return task.target_notes(labels.numbers(), excluded_rows=excluded_rows)


def unscored_notes(tasks: Mapping[str, Task], validation: Mapping[str, TokenizedSplit]) -> Iterator[str]:
    """Yield a message about each task without labelled validation rows, or whose rows have no gold label."""
    for name, task in tasks.items():
        splits = [rows for rows in validation.values() if name in rows.labels and rows.labels[name].labelled.any()]
        if not splits:
            yield f"task {name!r} has no labelled validation rows: it is trained, but not scored"
        elif needs_predictions(task) and not any(_has_gold(task, rows) for rows in splits):
            undefined = ", ".join(metric for metric in task.metrics if metric not in loss_metrics(task))
            yield f"task {name!r}: no validation row has a gold label, so these metrics are undefined: {undefined}"


def _has_gold(task: Task, rows: TokenizedSplit) -> bool:
    """Return whether a row of a split has a gold label."""
    labels = rows.labels[task.name]
    if not isinstance(labels, ComputedLabels):
        return bool(labels.labelled.any())
    labelled = np.flatnonzero(labels.labelled).tolist()
    return any(task.gold(rows.example(row, task.name)) is not None for row in labelled)


def check_targets(tasks: Mapping[str, Task], train: Mapping[str, TokenizedSplit]) -> None:
    """Raise ConfigError if a task type made no targets of the train rows."""
    for name, task in tasks.items():
        splits = [rows for rows in train.values() if name in rows.labels]
        if any(rows.labels[name].counts.any() for rows in splits):
            continue
        places, reasons = ", ".join(rows.where for rows in splits), [_target_notes(task, rows) for rows in splits]
        reason = "; ".join(note for notes in reasons for note in notes) or "targets() excluded every row"
        raise ConfigError(f"task {name!r}: no labelled train row in {places} is trained on: {reason}")

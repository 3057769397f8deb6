"""Checks of labelled splits: errors, and messages for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nlpmtl.data import ComputedLabels, TokenizedSplit, parsed_values
from nlpmtl.errors import ConfigError, DataError, did_you_mean, list_some, plain
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.scoring import loss_metrics, needs_predictions
from nlpmtl.tasks.split_labels import Splits

TRUNCATED = "rows are longer than max_length and were truncated"
"""The end of the note about truncated rows."""
_SHOWN = 10
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
                    shown = list_some(map(plain, extra), limit=5)
                    yield f"{name}, {split}: labels unknown to task {task!r}, scored as errors: {shown}"


def check_validation(tasks: Mapping[str, Task], validation: Mapping[str, TokenizedSplit]) -> None:
    """Raise DataError if a task's validation rows have only unknown labels. A tag outside spans does not count."""
    for name, task in tasks.items():
        unknown: dict[str, str] = {}
        known = False
        for rows in validation.values():
            labels = rows.labels.get(name)
            if labels is None:
                continue
            ids = [i for i in labels.occurring().tolist() if labels.names[i] != task.outside]
            known |= any(i < labels.known for i in ids)
            unknown |= {labels.names[i]: rows.place(labels.first_row(i)) for i in ids if i >= labels.known}
        if unknown and not known:
            listed = ", ".join(repr(plain(label)) for label in list(unknown)[:_SHOWN])
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            first, place = next(iter(unknown.items()))
            raise DataError(
                f"{place}: task {name!r}: no label of the validation rows is in the task's list of labels, so they "
                f"cannot be scored; found {listed}{more}; {did_you_mean(first, task.labels)}"
            )


def unknown_labels(task: Task, rows: TokenizedSplit) -> tuple[str, ...]:
    """Return the names in the gold labels of a split that the task never predicts."""
    labels = rows.labels[task.name]
    if isinstance(labels, ComputedLabels) and type(task).unknown_labels is not Task.unknown_labels:
        return tuple(sorted(task.unknown_labels(parsed_values(rows, task.name))))
    return labels.names[labels.known :]


def target_notes(tasks: Mapping[str, Task], train: Mapping[str, TokenizedSplit]) -> Iterator[str]:
    """Yield the messages of the tasks about the targets that they computed for the train splits."""
    for name, rows in train.items():
        for task in rows.labels:
            for note in _target_notes(tasks[task], rows):
                yield f"{name}, train: task {task!r}: {note}"


def _target_notes(task: Task, rows: TokenizedSplit) -> list[str]:
    """Return the messages of a task about its targets of a split; a row of weight 0 is left out for its weight."""
    labels = rows.labels[task.name]
    if not isinstance(labels, ComputedLabels) or type(task).target_notes is Task.target_notes:
        return []
    weighted = rows.weights[task.name] > 0 if task.name in rows.weights else True
    left_out = int(np.count_nonzero(labels.labelled & (labels.counts == 0) & weighted))
    return task.target_notes(labels.numbers(), left_out=left_out)


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
        reason = "; ".join(note for notes in reasons for note in notes) or "targets() left out every row"
        raise ConfigError(f"task {name!r}: no labelled train row in {places} is trained on: {reason}")

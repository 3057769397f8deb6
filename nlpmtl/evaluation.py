"""Batched evaluation: predictions, gold labels and metrics of a split.

It knows nothing of process groups: the share of the batches to compute, and how to gather, are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.batched_inference import Outputs, OutputsSource, to_items
from nlpmtl.data import TokenizedSplit
from nlpmtl.tasks import Task, decode_all

Gather = Callable[[list[Any]], list[Any]]
"""Concatenates the lists of all processes."""


@dataclass(frozen=True)
class Scores:
    """Metrics of a split.

    Args:
        tasks: for each task its metrics, ``"score"`` (which summarises them) and ``"rows"``.
        mean: mean of the tasks' scores.
        notes: messages about the rows: some were skipped or truncated, or have labels that no task knows.
    """

    tasks: dict[str, dict[str, float | int | None]]
    mean: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, task: str) -> dict[str, float | int | None]:
        return self.tasks[task]

    def of(self, select: str) -> float:
        """Return the score that selects a model: ``"mean"``, or that of a task."""
        if select == "mean":
            return self.mean
        return float(self.tasks[select]["score"] or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"tasks": self.tasks, "mean": self.mean}


@dataclass
class Predictions:
    """Predictions and gold labels of a task on a split.

    Args:
        names: labels of the task, then gold labels that it does not know.
        predicted: `Prediction.value` of each row.
        gold: gold label of each row.
    """

    names: list[str]
    predicted: list[Any] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values in which a label is its index in `names`, and a missing tag is -1.

        If the values are not all labels, they are written as they are, with empty names.
        """
        ids = {name: i for i, name in enumerate(self.names)}
        if not all(_are_labels(value, ids) for value in (self.predicted, self.gold)):
            return {"names": [], "predicted": self.predicted, "gold": self.gold}

        def encode(value: Any) -> Any:
            if isinstance(value, list):
                return [encode(part) for part in value]
            return -1 if value is None else ids[value]

        return {"names": self.names, "predicted": encode(self.predicted), "gold": encode(self.gold)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Predictions:
        """Return the predictions that `to_json` wrote."""
        names: list[str] = value["names"]

        def decode(value: Any) -> Any:
            if isinstance(value, list):
                return [decode(part) for part in value]
            return value if not names or type(value) is not int else None if value < 0 else names[value]

        return cls(names, decode(value["predicted"]), decode(value["gold"]))


def _are_labels(value: Any, names: Collection[str]) -> bool:
    """Return whether a value consists of names and missing tags, in lists of any depth."""
    if isinstance(value, list):
        return all(_are_labels(part, names) for part in value)
    return value is None or (isinstance(value, str) and value in names)


def scored_rows(
    tasks: Mapping[str, Task], split: TokenizedSplit
) -> tuple[dict[str, dict[int, Any]], dict[str, NDArray[np.bool_]]]:
    """Return for each task with gold labels row -> gold label, and whether each row of the split has one."""
    gold = {name: labels for name in split.labels if (labels := gold_labels(tasks[name], split))}
    masks = {name: np.zeros(len(split), dtype=np.bool_) for name in gold}
    for name, labels in gold.items():
        masks[name][list(labels)] = True
    return gold, masks


def gold_labels(task: Task, split: TokenizedSplit) -> dict[int, Any]:
    """Return row -> gold label, for the rows that a task is scored on."""
    labels = split.labels[task.name]
    rows = np.flatnonzero(labels.labelled).tolist()
    if type(task).gold is Task.gold:
        gold = dict(zip(rows, labels.values(rows), strict=True))
    else:
        gold = {row: task.gold(split.example(row, task.name)) for row in rows}
    return {row: label for row, label in gold.items() if label is not None}


def evaluate(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    gather: Gather = list,
) -> Scores:
    """Score the tasks on the rows with a label for them: `predict_splits`, then `score`."""
    return score(predict_splits(inference, tasks=tasks, datasets=datasets, gather=gather), tasks=tasks)


def predict_splits(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    gather: Gather = list,
) -> dict[str, Predictions]:
    """Predict for the rows with a gold label; a row of several tasks is encoded once.

    The rows of a task may be in several datasets. A task without labelled rows is left out.
    """
    results: dict[str, Predictions] = {}
    for split in datasets.values():
        gold, rows_of = scored_rows(tasks, split)
        if not rows_of:
            continue

        def decode(
            task: str, outputs: Sequence[Outputs], rows: NDArray[np.int64], split: TokenizedSplit = split
        ) -> list[Any]:
            return [prediction.value for prediction in decode_all(tasks[task], to_items(split, task, outputs, rows))]

        local_values = list(inference.run(split, rows_of=rows_of, consume=decode))
        values = {(row, task): value for row, task, value in gather(local_values)}
        for task in rows_of:
            predictions = results.setdefault(task, Predictions(list(tasks[task].labels)))
            labels = split.labels[task]
            predictions.predicted.extend(values[row, task] for row in gold[task])
            predictions.gold.extend(gold[task].values())
            known = set(predictions.names)
            predictions.names.extend(name for name in labels.names[labels.known :] if name not in known)
    return {task: results[task] for task in tasks if task in results}


def score(predictions: Mapping[str, Predictions], *, tasks: Mapping[str, Task]) -> Scores:
    """Return the metrics of predictions."""
    scores = {
        name: {**tasks[name].score(task.predicted, task.gold), "rows": len(task.gold)}
        for name, task in predictions.items()
    }
    return Scores(scores, float(np.mean([task["score"] or 0.0 for task in scores.values()])) if scores else 0.0)

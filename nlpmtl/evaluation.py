"""Batched evaluation: predictions, gold labels, losses and metrics of a split.

Predictions and losses come from separate forward passes, because the head of a task may read its targets when it
computes the loss. Each pass runs only for the tasks with a metric that needs it.

It knows nothing of process groups: the share of the batches to compute, and how to gather, are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nlpmtl.batched_inference import NumpyOutputs, OutputsSource, to_items
from nlpmtl.data import TokenizedSplit
from nlpmtl.errors import DataError, noting
from nlpmtl.metrics import scores as metric_values
from nlpmtl.metrics import task_score
from nlpmtl.metrics.base import LOSS, defined
from nlpmtl.tables import html_table, text_table
from nlpmtl.tasks import ExampleOutputs, Prediction, Task, decode_all, loss_metrics, needs_predictions, tasks_in_mean

Gather = Callable[[Iterable[Any]], list[Any]]
"""Reads the results of this process, and concatenates those of all processes."""
LossesFn = Callable[[TokenizedSplit, Collection[str]], Iterator[tuple[int, str, float]]]
"""(split, tasks) -> row, task and loss, for this process's share of the rows; see `RowLosses.run`."""


SCORE_COLUMNS = ("task", "metric", "value", "rows")
"""Headings of `Scores.rows`."""


class PredictionObserver(Protocol):
    """A callback that receives the predictions of this process for some rows of a split."""

    def __call__(
        self,
        task: Task,
        *,
        dataset: str,
        split: TokenizedSplit,
        rows: Sequence[int],
        items: Sequence[ExampleOutputs],
        predictions: Sequence[Prediction],
        gold: Sequence[Any],
    ) -> None:
        """Read predictions.

        Args:
            task: the task.
            dataset: name of the dataset.
            split: its rows.
            rows: indices of the rows.
            items: their outputs.
            predictions: their predictions.
            gold: their gold labels.
        """


@dataclass(frozen=True, repr=False)
class Scores:
    """Metrics of a split.

    Args:
        tasks: for each task its metrics, ``"score"`` (which summarises them) and ``"rows"``.
        mean: mean of the tasks' scores, see `tasks_in_mean`.
        notes: messages about the rows: some were skipped or truncated, or have labels that no task knows.
    """

    tasks: dict[str, dict[str, float | int | None]]
    mean: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, task: str) -> dict[str, float | int | None]:
        return self.tasks[task]

    def of(self, select: str) -> float:
        """Return the score that selects a model: ``"mean"``, or that of a task.

        Raises:
            DataError: no row of the task was scored.
        """
        if select == "mean":
            return self.mean
        if select not in self.tasks:
            raise DataError(f"eval.select: no validation row has a gold label or targets for task {select!r}")
        return float(self.tasks[select]["score"] or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"tasks": self.tasks, "mean": self.mean}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return a table with one row per metric of each task, then one with the mean; see `SCORE_COLUMNS`.

        The score of a task has a row of its own only if it is not the first metric.
        """
        rows = []
        for task, values in self.tasks.items():
            metrics = {name: value for name, value in values.items() if name not in ("score", "rows")}
            if not metrics or next(iter(metrics.values())) != values["score"]:  # such as a negated error
                metrics["score"] = values["score"]
            for name, value in metrics.items():
                rows.append((task, name, "undefined" if value is None else f"{value:.4f}", str(values.get("rows", ""))))
        return [*rows, ("mean", "", f"{self.mean:.4f}", "")]

    def __repr__(self) -> str:
        """Return the table as text.

        >>> Scores({"topic": {"accuracy": 0.9, "score": 0.9, "rows": 40}}, 0.9)
        task   metric     value  rows
        topic  accuracy  0.9000    40
        mean             0.9000
        """
        return text_table(SCORE_COLUMNS, self.rows(), left=SCORE_COLUMNS[:2])

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
        return html_table(SCORE_COLUMNS, self.rows())


@dataclass
class Predictions:
    """Predictions, gold labels and losses of a task on a split.

    Args:
        names: labels of the task, then gold labels that it does not know.
        predicted: `Prediction.value` of each evaluated row; None without a gold label.
        gold: gold label of each row, or None.
        losses: summed loss of each row, for a task with a metric `loss` or `perplexity`; None if it
            is not finite, and 0 for a row without targets. Empty for other tasks.
        items: number of items of these losses.
    """

    names: list[str]
    predicted: list[Any] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)
    losses: list[float | None] = field(default_factory=list)
    items: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of evaluated rows."""
        return len(self.gold)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Predictions:
        """Return some rows, in that order."""
        columns: tuple[list[Any], ...] = (self.predicted, self.gold, self.losses, self.items)
        return Predictions(self.names, *([column[row] for row in rows] if column else [] for column in columns))

    def with_gold(self) -> Predictions:
        """Return the rows with a gold label."""
        if not self.losses:  # then all rows have one
            return self
        return self.take([row for row, gold in enumerate(self.gold) if gold is not None])

    def to_json(self) -> dict[str, Any]:
        """Return plain values in which a label is its index in `names`, and a missing tag is -1.

        If the values are not all labels, they are written as they are, with empty names.
        """
        ids = {name: i for i, name in enumerate(self.names)}
        losses = {"losses": self.losses, "items": self.items} if self.losses else {}
        if not ids or not all(_are_labels(value, ids) for value in (self.predicted, self.gold)):
            return {"names": [], "predicted": self.predicted, "gold": self.gold, **losses}

        def encode(value: Any) -> Any:
            if isinstance(value, list):
                return [encode(part) for part in value]
            return -1 if value is None else ids[value]

        return {"names": self.names, "predicted": encode(self.predicted), "gold": encode(self.gold), **losses}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Predictions:
        """Return the predictions that `to_json` wrote."""
        names: list[str] = value["names"]

        def decode(value: Any) -> Any:
            if isinstance(value, list):
                return [decode(part) for part in value]
            return value if not names or type(value) is not int else None if value < 0 else names[value]

        return cls(
            names, decode(value["predicted"]), decode(value["gold"]), value.get("losses", []), value.get("items", [])
        )


def _are_labels(value: Any, names: Collection[str]) -> bool:
    """Return whether a value consists of names and missing tags, in lists of any depth."""
    if isinstance(value, list):
        return all(_are_labels(part, names) for part in value)
    return value is None or (isinstance(value, str) and value in names)


def scored_rows(
    tasks: Mapping[str, Task], split: TokenizedSplit
) -> tuple[dict[str, dict[int, Any]], dict[str, NDArray[np.bool_]]]:
    """Return for each of the tasks with gold labels row -> gold label, and whether each row of the split has one."""
    gold = {name: gold for name in split.labels if name in tasks and (gold := gold_labels(tasks[name], split))}
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
        with noting(f"task {task.name!r}: gold()"):
            gold = {row: task.gold(split.example(row, task.name)) for row in rows}
    return {row: label for row, label in gold.items() if label is not None}


def evaluate(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    losses: LossesFn | None = None,
    gather: Gather = list,
    observe: PredictionObserver | None = None,
) -> Scores:
    """Score the tasks on the rows with a label for them: `predict_splits`, then `score`."""
    predictions = predict_splits(
        inference, tasks=tasks, datasets=datasets, losses=losses, gather=gather, observe=observe
    )
    return score(predictions, tasks=tasks)


def predict_splits(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    losses: LossesFn | None = None,
    gather: Gather = list,
    observe: PredictionObserver | None = None,
) -> dict[str, Predictions]:
    """Compute the inputs of the metrics: predictions for the rows with a gold label, and losses.

    The rows of a task may be in several datasets. A task without rows is omitted, as are the predictions of a task
    whose only metrics are `loss` and `perplexity`.

    Args:
        inference: runs rows through the model; a row of several tasks is encoded once.
        tasks: tasks by name.
        datasets: rows by dataset.
        losses: computes the losses of rows; needed for tasks with a metric `loss` or `perplexity`.
        gather: reads the results of this process, and concatenates those of all processes.
        observe: called with the predictions.
    """
    results: dict[str, Predictions] = {}
    for dataset, split in datasets.items():
        values, gold = _predict(inference, tasks, dataset, split, gather=gather, observe=observe)
        row_losses = _compute_losses(losses, tasks, split, gather=gather)
        for name in split.labels:
            rows = sorted({*gold.get(name, ()), *row_losses.get(name, ())})
            if not rows:
                continue
            predictions = results.setdefault(name, Predictions(list(tasks[name].labels)))
            labels = split.labels[name]
            predictions.predicted.extend(values.get((row, name)) for row in rows)
            predictions.gold.extend(gold.get(name, {}).get(row) for row in rows)
            if loss_metrics(tasks[name]):
                pairs = [row_losses[name].get(row, (0.0, 0.0)) for row in rows]
                predictions.losses.extend(loss if math.isfinite(loss) else None for loss, _ in pairs)
                predictions.items.extend(items for _, items in pairs)
            known = set(predictions.names)
            predictions.names.extend(label for label in labels.names[labels.known :] if label not in known)
    return {task: results[task] for task in tasks if task in results}


def _predict(
    inference: OutputsSource,
    tasks: Mapping[str, Task],
    dataset: str,
    split: TokenizedSplit,
    *,
    gather: Gather,
    observe: PredictionObserver | None,
) -> tuple[dict[tuple[int, str], Any], dict[str, dict[int, Any]]]:
    """Return (row, task) -> prediction, and task -> row -> gold label, for the tasks that are scored by predictions."""
    gold, rows_of = scored_rows({name: task for name, task in tasks.items() if needs_predictions(task)}, split)
    if not rows_of:
        return {}, {}

    def decode(task: str, outputs: Sequence[NumpyOutputs], rows: NDArray[np.int64]) -> list[Any]:
        items = to_items(split, task, outputs, rows)
        predictions = decode_all(tasks[task], items)
        if observe is not None:
            indices = rows.tolist()
            labels = [gold[task][row] for row in indices]
            observe(
                tasks[task],
                dataset=dataset,
                split=split,
                rows=indices,
                items=items,
                predictions=predictions,
                gold=labels,
            )
        return [prediction.value for prediction in predictions]

    values = gather(inference.run(split, rows_of=rows_of, consume=decode))
    return {(row, task): value for row, task, value in values}, gold


def _compute_losses(
    losses: LossesFn | None, tasks: Mapping[str, Task], split: TokenizedSplit, *, gather: Gather
) -> dict[str, dict[int, tuple[float, float]]]:
    """Return task -> row -> loss and number of items, for the tasks with a metric of the loss."""
    labels = {name: labels.without_unknown() for name, labels in split.labels.items() if loss_metrics(tasks[name])}
    if not labels:
        return {}
    assert losses is not None, "a task has a metric that reads losses"
    results: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in labels}
    for row, name, loss in gather(losses(replace(split, labels=labels), list(labels))):
        results[name][row] = loss, float(labels[name].counts[row])
    return results


def score(predictions: Mapping[str, Predictions], *, tasks: Mapping[str, Task]) -> Scores:
    """Return the metrics of predictions and losses."""
    scores = {name: {**score_task(tasks[name], task), "rows": len(task)} for name, task in predictions.items()}
    counted = tasks_in_mean({name: tasks[name] for name in scores})
    return Scores(scores, float(np.mean([scores[name]["score"] or 0.0 for name in counted])) if scores else 0.0)


def score_task(task: Task, predictions: Predictions) -> dict[str, float | None]:
    """Return the value of each metric of a task, and ``"score"``, which summarises them."""
    of_losses, with_gold = loss_metrics(task), predictions.with_gold()
    results = task.score(with_gold.predicted, with_gold.gold) if len(with_gold) and needs_predictions(task) else {}
    results = {name: defined(value) if isinstance(value, float) else value for name, value in results.items()}
    if not of_losses:
        return results
    losses = [math.nan if loss is None else loss for loss in predictions.losses]
    results |= metric_values(of_losses, predictions=losses, references=predictions.items, reads=LOSS)
    if type(task).score is Task.score or "score" not in results:
        metrics = {name: results.get(name) for name in task.metrics}
        return {**metrics, "score": task_score(metrics)}
    return results  # the type summarises its metrics itself

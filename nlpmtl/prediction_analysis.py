"""Analysis of the predictions of a split: wrong rows, likely label errors, reliability and confidence intervals."""

from __future__ import annotations

import csv
import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import TokenizedSplit
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions, score_task
from nlpmtl.fs import open_atomic
from nlpmtl.tasks import ExampleOutputs, ItemProbabilities, Prediction, Task, can_resample

MIN_ROWS = 20
"""Minimum number of rows for confidence intervals and a reliability diagram, which fewer rows do not support."""
RESAMPLES, _RESAMPLED_ROWS = 200, 1000
"""Number of bootstrap resamples, and the maximum number of rows of a resample."""
_MIN_ITEMS = 20
"""Minimum number of items from which label errors are estimated."""
_COLUMNS = ("task", "dataset", "row", "text", "pair", "gold", "predicted", "confidence", "label_error")


@dataclass(frozen=True)
class WrongRow:
    """A row whose prediction is wrong.

    Args:
        task: name of the task.
        dataset: name of the dataset.
        place: where the row is in its source.
        text: its text, or the first of a pair; words are joined by spaces. Empty for a row that is not from a source.
        pair: the second text of a pair.
        gold: the gold label, as text.
        predicted: the prediction, as text.
        confidence: the probability of the prediction; None without probabilities.
        severity: how wrong it is, see `RowError`.
        label_error: whether its gold label is likely wrong; None if that was not estimated.
    """

    task: str
    dataset: str
    place: str
    text: str
    pair: str | None
    gold: str
    predicted: str
    confidence: float | None
    severity: float
    label_error: bool | None = None


@dataclass
class _TaskPredictions:
    """Collected predictions of a task. The key of a row is its dataset and its index."""

    keys: list[tuple[str, int]] = field(default_factory=list)
    wrong: dict[tuple[str, int], WrongRow] = field(default_factory=dict)
    confidences: list[NDArray[np.floating]] = field(default_factory=list)
    correct: list[NDArray[np.bool_]] = field(default_factory=list)
    problems: list[list[ItemProbabilities]] = field(default_factory=list)


@dataclass
class PredictionAnalysis:
    """Reads predictions as a `PredictionObserver`; an exception of a task type ends the analysis of this task only.

    Attributes:
        failures: task -> the exception that its type raised.
    """

    failures: dict[str, Exception] = field(default_factory=dict)
    _by_task: dict[str, _TaskPredictions] = field(default_factory=dict)

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
        """Read the predictions of some rows; for the arguments, see `PredictionObserver`."""
        if task.name in self.failures:
            return
        kept = self._by_task.setdefault(task.name, _TaskPredictions())
        try:
            problems = [
                replace(problem, rows=problem.rows + len(kept.keys))
                for problem in task.item_probabilities(predictions, gold)
            ]
            for row, item, prediction, label in zip(rows, items, predictions, gold, strict=True):
                confidences, correct = task.confidence(prediction, label)
                kept.confidences.append(np.asarray(confidences))
                kept.correct.append(np.asarray(correct, dtype=np.bool_))
                error = task.row_error(prediction, label, item.example)
                if error is not None:
                    text, pair = _texts(item)
                    kept.wrong[dataset, row] = WrongRow(task.name, dataset, split.place(row), text, pair, **vars(error))
            kept.problems.append(problems)
            kept.keys.extend((dataset, row) for row in rows)
        except Exception as error:  # a task type from a plugin may raise anything
            self.failures[task.name] = error

    def wrong_rows(self, task: str) -> list[WrongRow]:
        """Return the wrong rows of a task: likely label errors first, then by severity, the highest first.

        Label errors are estimated by confident learning (Northcutt et al., 2021), if cleanlab is installed and the
        model predicts more rows correctly than the most frequent label does.
        """
        kept = self._by_task.get(task, _TaskPredictions())
        flagged = _label_errors(kept)
        rows = [
            (key, row if flagged is None else replace(row, label_error=key in flagged))
            for key, row in kept.wrong.items()
        ]
        rows.sort(key=lambda pair: (not pair[1].label_error, -pair[1].severity, pair[0]))
        return [row for _, row in rows]

    def reliability(self, task: str) -> tuple[NDArray[np.floating], NDArray[np.bool_]] | None:
        """Return the confidence of each predicted item of a task, and whether it is correct, ``[items]`` both.

        None for a task without probabilities, or whose type raised for some of its rows.
        """
        kept = self._by_task.get(task)
        if task in self.failures or kept is None or not kept.confidences:
            return None
        confidences = np.concatenate(kept.confidences)
        return (confidences, np.concatenate(kept.correct)) if len(confidences) else None


def _texts(item: ExampleOutputs) -> tuple[str, str | None]:
    example = item.example
    return ("", None) if example.input is None else (example.text, example.pair)


def _label_errors(kept: _TaskPredictions) -> set[tuple[str, int]] | None:
    """Return the keys of the rows with a likely label error; None if that cannot be estimated."""
    if importlib.util.find_spec("cleanlab") is None or not any(kept.problems):
        return None
    from cleanlab.filter import find_label_issues

    rank = np.argsort([place for _, place in sorted((key, place) for place, key in enumerate(kept.keys))])
    flagged: set[tuple[str, int]] | None = None
    for parts in zip(*kept.problems, strict=True):
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rank[rows], kind="stable")  # the result must not depend on the order of the batches
        gold = np.concatenate([part.gold for part in parts])[order]
        probabilities = np.concatenate([part.probabilities for part in parts])[order]
        if len(gold) >= _MIN_ITEMS and len(np.unique(gold)) > 1 and _beats_majority(probabilities, gold):
            with warnings.catch_warnings(action="ignore"):  # it warns of labels with few rows
                issues = find_label_issues(gold, probabilities, filter_by="both", n_jobs=1)
            flagged = (flagged or set()) | {kept.keys[row] for row in np.unique(rows[order][issues]).tolist()}
    return flagged


def _beats_majority(probabilities: NDArray[np.floating], gold: NDArray[np.integer]) -> bool:
    """Return whether predictions are more often correct than the most frequent label is.

    Those of other models, such as one that is hardly trained, do not show which labels are wrong.
    """
    return bool(
        (probabilities.argmax(axis=1) == gold).mean() > np.unique(gold, return_counts=True)[1].max() / len(gold)
    )


def gold_count(predictions: Predictions) -> int:
    """Return the number of rows with a gold label; that of all rows for a task that is scored by its loss only."""
    return sum(gold is not None for gold in predictions.gold) or len(predictions)


def score_intervals(task: Task, predictions: Predictions) -> dict[str, tuple[float, float]]:
    """Return the 95% bootstrap confidence interval of each metric of a task (percentile method; Efron, 1979).

    A resample has at most 1,000 rows, so that the time is limited; the deviations of smaller resamples than the split
    are multiplied by √(m/n) (m out of n bootstrap; Bickel, Götze and van Zwet, 1997). Undefined values are excluded,
    as are metrics of fewer than two rows.

    A task with a metric of which a row depends on the other rows has none.

    Args:
        task: the task.
        predictions: its predictions on a split.
    """
    rows = len(predictions)
    drawn = min(rows, _RESAMPLED_ROWS)
    if rows < 2 or not can_resample(task):
        return {}
    generator = np.random.Generator(np.random.PCG64(0))
    resampled: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        for name, value in score_task(task, predictions.take(generator.integers(rows, size=drawn))).items():
            if value is not None and math.isfinite(value):
                resampled.setdefault(name, []).append(value)
    intervals = {}
    for name, value in score_task(task, predictions).items():
        if value is not None and name in resampled:
            samples = np.array(resampled[name])
            center = float(samples.mean()) if drawn == rows else value
            deviations = np.quantile(samples - samples.mean(), [0.025, 0.975]) * math.sqrt(drawn / rows)
            low, high = (deviations + center).tolist()
            intervals[name] = low, high
    return intervals


def _csv_line(values: Sequence[object]) -> str:
    line = StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(values)  # quotes "\r" only if it is in the line terminator
    return line.getvalue().removesuffix("\r\n") + "\n"


def write_errors(path: Path, analysis: PredictionAnalysis, *, tasks: Mapping[str, Task]) -> str:
    """Write all wrong rows as CSV, and return a line with their number per task.

    Args:
        path: the file.
        analysis: the predictions.
        tasks: the tasks, in the order of the file.

    Raises:
        RunError: a task type raised, or the file cannot be written.
    """
    for name, error in analysis.failures.items():
        raise RunError(f"the wrong rows of task {name!r} cannot be listed: {type(error).__name__}: {error}") from error
    counts = dict.fromkeys(tasks, 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            file.write(_csv_line(_COLUMNS))
            for task in tasks:
                for row in analysis.wrong_rows(task):
                    values = [row.place if name == "row" else getattr(row, name) for name in _COLUMNS]
                    file.write(_csv_line(values))
                    counts[task] += 1
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}") from error
    return f"{path}: wrong rows: " + ", ".join(f"{task} {count:,}" for task, count in counts.items())

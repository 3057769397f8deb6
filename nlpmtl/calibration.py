"""Calibration after training: temperatures and thresholds, fitted on half of validation and measured on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.batched_inference import NumpyOutputs, OutputsSource, copy_outputs, to_items
from nlpmtl.data import TokenizedSplit
from nlpmtl.data.splitting import hold_out
from nlpmtl.evaluation import scored_rows
from nlpmtl.tasks import ExampleOutputs, Task, needs_predictions
from nlpmtl.tasks.calibration import expected_calibration_error

_MIN_ROWS = 20
"""Minimum number of labelled rows in each half; with fewer, the task is not calibrated."""


@dataclass(frozen=True)
class CalibrationReport:
    """Effect of calibration on a task, measured on rows that it was not fitted on.

    Args:
        rows: number of rows.
        temperature: divisor of the logits.
        error_before: expected calibration error before calibration; None if nothing was predicted, such as no span.
        error: expected calibration error after calibration; None as for `error_before`.
        score_before: score of the task before calibration; None for a task that is scored by its loss only, which
            calibration does not change.
        score: score of the task after calibration, which changes thresholds; None as for `score_before`.
    """

    rows: int
    temperature: float
    error_before: float | None
    error: float | None
    score_before: float | None
    score: float | None

    def describe(self) -> str:
        """Return the effect in a sentence."""
        changes = []
        if self.error_before is not None or self.error is not None:
            errors = ("undefined" if error is None else f"{error:.4f}" for error in (self.error_before, self.error))
            changes.append(f"the expected calibration error from {' to '.join(errors)}")
        if self.score is not None:
            changes.append(f"the score from {self.score_before:.4f} to {self.score:.4f}")
        return (
            f"Calibration with temperature {self.temperature:.3f} changed {', '.join(changes) or 'no prediction'}, "
            f"measured on {self.rows:,} rows that were not used to fit it."
        )


@dataclass
class _Half:
    """Labelled rows of a task."""

    items: list[ExampleOutputs] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)


def calibrate(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    failed: Callable[[str, Exception], None],
) -> dict[str, CalibrationReport]:
    """Calibrate the tasks on half of their labelled rows, in place.

    Tasks with too few rows, or whose type does not define `Task.calibrate`, are unchanged and have no report.

    Args:
        inference: source of the outputs.
        tasks: tasks to calibrate.
        datasets: rows that the model was not trained on.
        failed: called with the name of a task whose calibration raised, which is unchanged, and the exception.
    """
    reports = {}
    tasks = {name: task for name, task in tasks.items() if type(task).calibrate is not Task.calibrate}
    for name, (fit_half, report_half) in _split_halves(inference, tasks=tasks, datasets=datasets).items():
        task, before = tasks[name], dict(vars(tasks[name]))
        try:
            report = _calibrate(task, fit_half=fit_half, report_half=report_half)
        except Exception as error:  # a task type or metric from a plugin may raise anything
            vars(task).clear()
            vars(task).update(before)
            failed(name, error)
        else:
            if report is not None:
                reports[name] = report
    return reports


def _calibrate(task: Task, *, fit_half: _Half, report_half: _Half) -> CalibrationReport | None:
    """Calibrate a task; None if it has too few rows."""
    if min(len(fit_half.gold), len(report_half.gold)) < _MIN_ROWS:
        return None
    error_before, score_before = _calibration_error(task, report_half), _score(task, report_half)
    task.calibrate(fit_half.items, fit_half.gold)
    return CalibrationReport(
        rows=len(report_half.gold),
        temperature=task.temperature,
        error_before=error_before,
        error=_calibration_error(task, report_half),
        score_before=score_before,
        score=_score(task, report_half),
    )


def _split_halves(
    inference: OutputsSource, *, tasks: Mapping[str, Task], datasets: Mapping[str, TokenizedSplit]
) -> dict[str, tuple[_Half, _Half]]:
    """Return for each task the rows to fit on, and those to report on."""
    halves = {name: (_Half(), _Half()) for name in tasks}
    for split in datasets.values():
        gold, rows_of = scored_rows(tasks, split)
        if not rows_of:
            continue
        outputs = {(row, task): values for row, task, values in inference.run(split, rows_of=rows_of, consume=_copy)}
        for task, mask in rows_of.items():
            rows = np.flatnonzero(mask)
            for half, places in zip(halves[task], hold_out(len(rows), fraction=0.5), strict=True):
                half_rows = rows[places]
                half.items.extend(to_items(split, task, [outputs[row, task] for row in half_rows.tolist()], half_rows))
                half.gold.extend(gold[task][row] for row in half_rows.tolist())
    return halves


def _copy(task: str, outputs: Sequence[NumpyOutputs], rows: NDArray[np.int64]) -> list[NumpyOutputs]:
    """Return copies, so that the arrays of the batches can be freed."""
    return [copy_outputs(values) for values in outputs]


def _calibration_error(task: Task, half: _Half) -> float | None:
    """Return the expected calibration error; None if nothing is predicted."""
    pairs = zip(task.decode(half.items), half.gold, strict=True)
    probabilities, right = zip(*(task.confidence(prediction, gold) for prediction, gold in pairs), strict=True)
    return expected_calibration_error(np.concatenate(probabilities), np.concatenate(right))


def _score(task: Task, half: _Half) -> float | None:
    if not needs_predictions(task):
        return None
    values = [prediction.value for prediction in task.decode(half.items)]
    return float(task.score(values, half.gold)["score"] or 0.0)

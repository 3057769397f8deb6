"""Calibration at the end of training: temperatures and thresholds from one half of validation, told on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import Encoded
from nlpmtl.data.splitting import hold_out
from nlpmtl.evaluation import Outputs, OutputsSource, to_items
from nlpmtl.tasks import ExampleOutputs, Task
from nlpmtl.tasks.calibration import expected_calibration_error

_LEAST_ROWS = 20
"""Fewer labelled rows in a half say nothing, and the task stays as it is."""


@dataclass(frozen=True)
class CalibrationReport:
    """What calibration did to a task, told on rows that it was not fitted on.

    Args:
        rows: how many.
        temperature: what its logits are divided by.
        error_before: the expected calibration error as the task was …
        error: … and as it is now.
        score_before: the task's score as it was …
        score: … and as it is now: other thresholds give other answers.
    """

    rows: int
    temperature: float
    error_before: float
    error: float
    score_before: float
    score: float


@dataclass
class _Half:
    """Labelled rows of one task."""

    items: list[ExampleOutputs] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)


def calibrate(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, Encoded],
    failed: Callable[[str, Exception], None],
) -> dict[str, CalibrationReport]:
    """Calibrate the tasks on half of their labelled rows; those without enough of them, or without any confidence,
    stay as they are and are left out of the answer.

    Args:
        inference: the model.
        tasks: they are changed.
        datasets: rows that training has not seen.
        failed: called with a task whose calibration raised, which stays as it was, and the error.
    """
    found = {}
    for name, (fitted, told) in _halves(inference, tasks=tasks, datasets=datasets).items():
        task, before = tasks[name], dict(vars(tasks[name]))
        try:
            calibrated = _calibrate(task, fitted=fitted, told=told)
        except Exception as error:  # a kind of task or a metric from a plugin may raise anything
            vars(task).clear()
            vars(task).update(before)
            failed(name, error)
        else:
            if calibrated is not None:
                found[name] = calibrated
    return found


def _calibrate(task: Task, *, fitted: _Half, told: _Half) -> CalibrationReport | None:
    """Calibrate one task; None if it stays as it is."""
    error_before, score_before = _error(task, told), _score(task, told)
    if min(len(fitted.gold), len(told.gold)) < _LEAST_ROWS or error_before is None:
        return None
    task.calibrate(fitted.items, fitted.gold)
    error = _error(task, told)
    assert error is not None, "the same rows as before"
    return CalibrationReport(
        rows=len(told.gold),
        temperature=task.temperature,
        error_before=error_before,
        error=error,
        score_before=score_before,
        score=_score(task, told),
    )


def _halves(
    inference: OutputsSource, *, tasks: Mapping[str, Task], datasets: Mapping[str, Encoded]
) -> dict[str, tuple[_Half, _Half]]:
    """Return for each task the rows to fit on, and those to report on."""
    halves = {name: (_Half(), _Half()) for name in tasks}
    for encoded in datasets.values():
        rows_of = {task: labels.labelled for task, labels in encoded.labels.items() if labels.labelled.any()}
        if not rows_of:
            continue
        outputs = {(row, task): values for row, task, values in inference.run(encoded, rows_of=rows_of, consume=_copy)}
        for task, labelled in rows_of.items():
            rows = np.flatnonzero(labelled)
            for half, places in zip(halves[task], hold_out(len(rows), share=0.5), strict=True):
                half_rows = rows[places]
                half.items.extend(to_items(encoded, [outputs[row, task] for row in half_rows.tolist()], half_rows))
                half.gold.extend(encoded.labels[task].values(half_rows.tolist()))
    return halves


def _copy(task: str, outputs: Sequence[Outputs], rows: NDArray[np.int64]) -> list[Outputs]:
    """Return copies, so that the arrays of the batches can be freed."""
    return [{name: array.copy() for name, array in values.items()} for values in outputs]


def _error(task: Task, half: _Half) -> float | None:
    if not half.gold:
        return None
    pairs = zip(task.decode(half.items), half.gold, strict=True)
    probabilities, right = zip(*(task.confidence(prediction, gold) for prediction, gold in pairs), strict=True)
    return expected_calibration_error(np.concatenate(probabilities), np.concatenate(right))


def _score(task: Task, half: _Half) -> float:
    if not half.gold:
        return 0.0
    values = [prediction.value for prediction in task.decode(half.items)]
    return float(task.score(values, half.gold)["score"] or 0.0)

"""Aggregation of finished runs into comparison results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.comparison.results import CompareResult, ConditionScores, Cost, TaskResult, counted_tasks
from nlpmtl.comparison.run_summary import RunSummary
from nlpmtl.comparison.statistics import (
    Scorer,
    SeedScores,
    delta,
    delta_interval,
    paired_bootstrap,
    percentile_interval,
    relative_change,
    score_differences,
    to_verdict,
)
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions, score_task
from nlpmtl.prediction_analysis import gold_count
from nlpmtl.tasks import Task, can_resample

_MIN_ROWS = 20
"""Number of validation rows below which the interval of a task is noted as too narrow."""


@dataclass(frozen=True)
class SeedRuns:
    """The finished runs of one seed.

    Args:
        seed: the seed.
        multi_task: the multi-task run.
        single_task: the single-task runs by task.
    """

    seed: int
    multi_task: RunSummary
    single_task: dict[str, RunSummary]


def compare_task(
    task: Task, runs: Sequence[SeedRuns], *, rows: Mapping[str, int]
) -> tuple[TaskResult, NDArray[np.float64] | None]:
    """Compare the multi-task and single-task scores of a task.

    Args:
        task: scores the predictions.
        runs: finished runs of all seeds.
        rows: number of train rows of each dataset that has the task.

    Returns:
        The result, and the scores on bootstrap resamples, ``[resamples, 2]``; None for a metric that cannot be
        computed on them.

    Raises:
        RunError: the runs predicted different validation rows.
    """
    by_condition = [run.multi_task for run in runs], [run.single_task[task.name] for run in runs]
    reference = by_condition[0][0].predictions[task.name]
    scorers = []
    for summaries in by_condition:
        predictions = [summary.predictions[task.name] for summary in summaries]
        if any(_labels(other) != _labels(reference) for other in predictions):
            raise RunError(
                f"task {task.name!r}: the gold labels of the validation split differ between the runs, because the "
                "data changed; compare into a new directory"
            )
        scorers.append([_scorer(task, seed_predictions) for seed_predictions in predictions])
    row_count = len(reference)
    resampled, interval = None, None
    if can_resample(task):
        resampled = paired_bootstrap(*scorers, rows=row_count, seed=_seed(task.name))
        interval = percentile_interval(score_differences(*resampled.T))
    all_rows = np.arange(row_count)
    multi_task, single_task = (
        _condition_scores(task.name, summaries, selected=[scorer(all_rows) for scorer in by_seed], rows=rows)
        for summaries, by_seed in zip(by_condition, scorers, strict=True)
    )
    differences = score_differences(np.array(multi_task.selected.scores), np.array(single_task.selected.scores))
    return TaskResult(
        metric=task.metrics[0] if type(task).score is Task.score else "score",  # a type may summarise its metrics
        rows=row_count,
        multi_task=multi_task,
        single_task=single_task,
        difference=multi_task.selected.mean - single_task.selected.mean,
        interval=interval,
        change=relative_change(multi_task.selected.mean, single_task.selected.mean),
        ahead=int((differences > 0).sum()),
        verdict=to_verdict(interval),
    ), resampled


def summarize(
    compared: Mapping[str, tuple[TaskResult, NDArray[np.float64] | None]],
    runs: Sequence[SeedRuns],
    *,
    directory: Path,
    config: Mapping[str, Any],
    notes: Sequence[str],
) -> CompareResult:
    """Combine the results of all tasks.

    Args:
        compared: the return values of `compare_task` by task.
        runs: finished runs of all seeds.
        directory: directory of the comparison.
        config: config of the multi-task run, in plain values.
        notes: further warnings for the report.
    """
    tasks = {name: result for name, (result, _) in compared.items()}
    counted = counted_tasks(tasks, config)
    in_delta = [compared[name][1] for name in counted if tasks[name].change is not None]
    resampled = [scores for scores in in_delta if scores is not None]
    return CompareResult(
        directory=directory,
        seeds=tuple(run.seed for run in runs),
        tasks=tasks,
        delta=delta({name: tasks[name].change for name in counted}),
        delta_interval=delta_interval(resampled) if len(resampled) == len(in_delta) else None,
        multi_task_cost=_cost([[run.multi_task] for run in runs]),
        single_task_cost=_cost([list(run.single_task.values()) for run in runs]),
        config=config,
        machine=runs[0].multi_task.machine,
        notes=(*notes, *_notes(tasks, runs, counted)),
    )


def _notes(tasks: Mapping[str, TaskResult], runs: Sequence[SeedRuns], counted: Collection[str]) -> Iterator[str]:
    first, *others = [summary.machine for run in runs for summary in (run.multi_task, *run.single_task.values())]
    if any(other != first for other in others):
        yield "the runs used different machines or software versions: their durations are not comparable"
    if all(run.multi_task.step == run.multi_task.steps for run in runs):
        yield "with every seed the last evaluation of the multi-task model was its best: longer training may help"
    for name, result in tasks.items():
        rows = gold_count(runs[0].multi_task.predictions[name])
        if result.interval is None:
            yield (
                f"task {name!r}: the difference is not tested, because it has a metric of which a row depends on the "
                "other rows, so that rows cannot be resampled"
            )
        elif rows < _MIN_ROWS:
            yield f"task {name!r}: an interval over {rows} rows is too narrow; use at least {_MIN_ROWS}"
        if name not in counted:
            yield f"task {name!r}: its score is excluded from the mean and from Δm, as from the mean score of a run"
        elif result.change is None:
            yield f"task {name!r}: the single-task score is 0; its relative change is undefined and excluded from Δm"


def _seed(task: str) -> int:
    """Return the seed of the resamples of a task: the same runs give the same report, and tasks are independent."""
    return int.from_bytes(hashlib.sha256(task.encode()).digest())


def _scorer(task: Task, predictions: Predictions) -> Scorer:
    def score(rows: NDArray[np.int64]) -> float:
        return float(score_task(task, predictions.take(rows))["score"] or 0.0)

    return score


def _labels(predictions: Predictions) -> tuple[list[Any], list[str], list[float]]:
    """Return the labels of predictions, which must be equal for all models that predict the same rows."""
    return predictions.gold, predictions.names, predictions.items


def _condition_scores(
    task: str, summaries: Sequence[RunSummary], *, selected: Sequence[float], rows: Mapping[str, int]
) -> ConditionScores:
    drawn = fmean(sum(summary.picks[name] for name in rows) for summary in summaries)
    return ConditionScores(
        selected=SeedScores(tuple(selected)),
        best=SeedScores(tuple(summary.best[task] for summary in summaries)),
        steps=fmean(summary.steps for summary in summaries),
        passes=drawn / sum(rows.values()),
    )


def _cost(by_seed: Sequence[Sequence[RunSummary]]) -> Cost:
    """Return the total cost of the models of one condition, given as a list of runs per seed."""

    def mean_total(value: Callable[[RunSummary], float]) -> float:
        return fmean(sum(map(value, summaries)) for summaries in by_seed)

    return Cost(
        models=len(by_seed[0]),
        seconds=mean_total(lambda summary: summary.seconds),
        parameters=mean_total(lambda summary: summary.parameters),
        size=mean_total(lambda summary: summary.size),
    )

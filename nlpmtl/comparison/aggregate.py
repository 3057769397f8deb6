"""Finished runs, weighed against each other: records in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.comparison.results import CompareResult, ConditionScores, Cost, TaskResult
from nlpmtl.comparison.run_summary import RunSummary
from nlpmtl.comparison.statistics import (
    Scorer,
    SeedScores,
    delta,
    delta_interval,
    interval,
    paired_bootstrap,
    relative_change,
    to_verdict,
)
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions
from nlpmtl.tasks import Task

_SEED = 0
"""Of the resamples: the same runs give the same report."""


@dataclass(frozen=True)
class SeedRuns:
    """The runs of one seed.

    Args:
        seed: theirs.
        mixture: the run of all tasks.
        alone: of each task the run of it alone.
    """

    seed: int
    mixture: RunSummary
    alone: dict[str, RunSummary]


def compare_task(
    task: Task, runs: Sequence[SeedRuns], *, rows: Mapping[str, int]
) -> tuple[TaskResult, NDArray[np.float64]]:
    """One task of the mixture beside the same task alone, and its scores on resampled rows, ``[resamples, 2]``.

    Args:
        task: it scores.
        runs: of every seed.
        rows: train rows of each dataset that carries the task.

    Raises:
        RunError: the runs were not asked about the same rows.
    """
    mixtures, alones = [run.mixture for run in runs], [run.alone[task.name] for run in runs]
    first = mixtures[0].answered[task.name]
    sides = []
    for records in (mixtures, alones):
        answered = [record.answered[task.name] for record in records]
        if any((one.gold, one.names) != (first.gold, first.names) for one in answered):
            raise RunError(
                f"task {task.name!r}: what is right for the validation rows is not the same in all runs: the data have "
                "changed between them; compare into a new directory"
            )
        sides.append([_scorer(task, one) for one in answered])
    many = len(first.gold)
    resampled = paired_bootstrap(*sides, rows=many, seed=_SEED)
    whole = np.arange(many)
    mixture, alone = (
        _side(task.name, records, kept=[scorer(whole) for scorer in scorers], rows=rows)
        for records, scorers in zip((mixtures, alones), sides, strict=True)
    )
    between = interval(resampled[:, 0] - resampled[:, 1])
    return TaskResult(
        rows=many,
        mixture=mixture,
        alone=alone,
        difference=mixture.kept.mean - alone.kept.mean,
        interval=between,
        change=relative_change(mixture.kept.mean, alone.kept.mean),
        ahead=sum(ours > theirs for ours, theirs in zip(mixture.kept.scores, alone.kept.scores, strict=True)),
        verdict=to_verdict(between),
    ), resampled


def summarize(
    weighed: Mapping[str, tuple[TaskResult, NDArray[np.float64]]],
    runs: Sequence[SeedRuns],
    *,
    directory: Path,
    config: Mapping[str, Any],
    notes: Sequence[str],
) -> CompareResult:
    """What there is to say of all tasks together.

    Args:
        weighed: of each task what `compare_task` found.
        runs: of every seed.
        directory: of the comparison.
        config: of the mixture, in plain values.
        notes: what a person should know, beside what is found here.
    """
    tasks = {name: one for name, (one, _) in weighed.items()}
    return CompareResult(
        directory=directory,
        seeds=tuple(run.seed for run in runs),
        tasks=tasks,
        delta=delta({name: one.change for name, one in tasks.items()}),
        delta_interval=delta_interval([resampled for _, resampled in weighed.values()]),
        mixture=_cost([[run.mixture] for run in runs]),
        alone=_cost([list(run.alone.values()) for run in runs]),
        config=config,
        machine=runs[0].mixture.machine,
        notes=(*notes, *_notes(tasks, runs)),
    )


def _notes(tasks: Mapping[str, TaskResult], runs: Sequence[SeedRuns]) -> Iterator[str]:
    first, *others = [record.machine for run in runs for record in (run.mixture, *run.alone.values())]
    if any(other != first for other in others):
        yield "the runs were not all made on the same machine with the same versions: their seconds are not comparable"
    if all(run.mixture.step == run.mixture.steps for run in runs):
        yield "the mixture's last evaluation was its best, in every seed: it may not have learned all that it can yet"
    for name, one in tasks.items():
        if one.change is None:
            yield f"task {name!r} scores 0 alone, so its relative change is undefined and not in Δm"


def _scorer(task: Task, answered: Predictions) -> Scorer:
    def score(rows: NDArray[np.int64]) -> float:
        predicted = [answered.predicted[row] for row in rows]
        gold = [answered.gold[row] for row in rows]
        return float(task.score(predicted, gold)["score"] or 0.0)

    return score


def _side(
    task: str, records: Sequence[RunSummary], *, kept: Sequence[float], rows: Mapping[str, int]
) -> ConditionScores:
    picks = fmean(sum(record.picks[name] for name in rows) for record in records)
    return ConditionScores(
        kept=SeedScores(tuple(kept)),
        best=SeedScores(tuple(record.best[task] for record in records)),
        steps=fmean(record.steps for record in records),
        passes=picks / sum(rows.values()),
    )


def _cost(sides: Sequence[Sequence[RunSummary]]) -> Cost:
    """Of the models of one side, for every seed."""

    def total(what: Callable[[RunSummary], float]) -> float:
        return fmean(sum(map(what, records)) for records in sides)

    return Cost(
        models=len(sides[0]),
        seconds=total(lambda record: record.seconds),
        parameters=total(lambda record: record.parameters),
        size=total(lambda record: record.size),
    )

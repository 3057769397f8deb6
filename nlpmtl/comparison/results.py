"""Results of a comparison: scores and cost of the multi-task model and of the single-task models."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from nlpmtl.comparison.statistics import CONFIDENCE, RESAMPLES, SeedScores, Verdict
from nlpmtl.deprecation import RenamedAttribute
from nlpmtl.tables import html_table, text_table
from nlpmtl.tasks import task_type, tasks_in_mean

_OLD_CONDITIONS = {"mixture": "multi_task", "alone": "single_task"}
"""Keys of compare.json, which are also the names of the conditions in nlpmtl 0.1, and the present names."""


@dataclass(frozen=True)
class ConditionScores:
    """Scores of a task in one condition, multi-task or single-task.

    Args:
        selected: scores of the selected checkpoints; the multi-task model has one checkpoint for all tasks.
        best: scores at the best evaluation of the task; for the multi-task model, a different step per task.
        steps: optimizer steps, mean over seeds.
        passes: passes over the rows of the task's datasets, mean over seeds.
    """

    selected: SeedScores
    best: SeedScores
    steps: float
    passes: float

    kept = RenamedAttribute("selected")


@dataclass(frozen=True)
class TaskResult:
    """Multi-task versus single-task scores of a task.

    Args:
        metric: the metric that is the score of the task.
        rows: number of validation rows scored.
        multi_task: scores of the multi-task model.
        single_task: scores of the single-task model.
        difference: mean score of the selected checkpoints, multi-task minus single-task.
        interval: 95% confidence interval of the difference, over resampled rows; None for a metric that cannot be
            computed on resampled rows.
        change: difference in percent of the single-task score; None if that is 0.
        ahead: number of seeds in which the multi-task model scored higher.
        verdict: ``"gained"`` or ``"hurt"`` if there is an interval that excludes 0, else the third value of `Verdict`.
    """

    metric: str
    rows: int
    multi_task: ConditionScores
    single_task: ConditionScores
    difference: float
    interval: tuple[float, float] | None
    change: float | None
    ahead: int
    verdict: Verdict

    mixture = RenamedAttribute("multi_task")
    alone = RenamedAttribute("single_task")


@dataclass(frozen=True)
class Cost:
    """Total cost of the models of one condition, mean over seeds.

    Args:
        models: number of models.
        seconds: duration of the training steps.
        parameters: number of parameters.
        size: size of the weight files in bytes.
    """

    models: int
    seconds: float
    parameters: float
    size: float


@dataclass(frozen=True, repr=False)
class CompareResult:
    """Multi-task versus single-task results of all tasks.

    ``result["topic"]`` has the results of a task: `difference`, `interval`, `verdict`, and for each condition,
    `multi_task` and `single_task`, the scores `selected` and `best` (each with `mean`, `deviation` and `scores`).

    Args:
        directory: directory of the runs and the report.
        seeds: seeds of the runs.
        tasks: results by task.
        delta: Δm, the mean relative change over the tasks `in_mean` in percent; None if it is undefined for every task.
        delta_interval: 95% confidence interval of Δm, over resampled rows; None if Δm is undefined or the difference of
            one of its tasks has no interval.
        multi_task_cost: cost of the multi-task model.
        single_task_cost: total cost of the single-task models.
        config: config of the multi-task run with the first seed, in plain values.
        machine: hardware and software that trained the models.
        notes: warnings about data and training.
    """

    directory: Path
    seeds: tuple[int, ...]
    tasks: Mapping[str, TaskResult]
    delta: float | None
    delta_interval: tuple[float, float] | None
    multi_task_cost: Cost
    single_task_cost: Cost
    config: Mapping[str, Any] = field(repr=False)
    machine: Mapping[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    mixture = RenamedAttribute("multi_task_cost")
    alone = RenamedAttribute("single_task_cost")

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task]

    @property
    def in_mean(self) -> list[str]:
        """Names of the tasks whose scores count in the mean: those that count in the mean score of a run."""
        return counted_tasks(self.tasks, self.config)

    def mean(self, condition: str) -> SeedScores:
        """Return the mean score over tasks of the selected checkpoints, per seed.

        Args:
            condition: ``"multi_task"`` or ``"single_task"``.
        """
        if condition in _OLD_CONDITIONS:
            message = f'mean("{condition}") is deprecated: use mean("{_OLD_CONDITIONS[condition]}") instead'
            warnings.warn(message, FutureWarning, stacklevel=2)
            condition = _OLD_CONDITIONS[condition]
        counted = [self.tasks[name] for name in self.in_mean]
        by_seed = zip(*(getattr(task, condition).selected.scores for task in counted), strict=True)
        return SeedScores(tuple(map(fmean, by_seed)))

    def __repr__(self) -> str:
        """Return the directory and the table of scores."""
        from nlpmtl.comparison.markdown import SCORE_COLUMNS, score_rows

        table = text_table(SCORE_COLUMNS, score_rows(self), left=("task", "metric", "result"))
        return f"CompareResult: {self.directory}, {len(self.seeds)} seeds\n{table}"

    def _repr_html_(self) -> str:
        """Return the table of scores as HTML, for notebooks."""
        from nlpmtl.comparison.markdown import SCORE_COLUMNS, score_rows

        return html_table(SCORE_COLUMNS, score_rows(self))

    def to_json(self) -> dict[str, Any]:
        """Return the contents of compare.json."""
        means = {key: _spread(self.mean(condition)) for key, condition in _OLD_CONDITIONS.items()}
        return {
            "seeds": list(self.seeds),
            "split": "validation",
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "tasks": {name: _task(task) for name, task in self.tasks.items()},
            "mean": means,
            "delta": {"percent": self.delta, "interval": _interval(self.delta_interval)},
            "cost": {"mixture": asdict(self.multi_task_cost), "alone": asdict(self.single_task_cost)},
            "config": self.config,
            "machine": self.machine,
            "notes": list(self.notes),
        }


def counted_tasks(names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return the tasks whose scores count in the mean score of a run.

    Args:
        names: names of the tasks.
        config: config of the run, in plain values.
    """
    tables = (dataset["tasks"] for dataset in config["datasets"].values())
    kinds = {name: task["kind"] for tasks in tables for name, task in tasks.items()}
    return tasks_in_mean({name: task_type(kinds[name]) for name in names})


def _task(task: TaskResult) -> dict[str, Any]:
    return {
        "metric": task.metric,
        "rows": task.rows,
        "mixture": _condition(task.multi_task),
        "alone": _condition(task.single_task),
        "difference": task.difference,
        "interval": _interval(task.interval),
        "change": task.change,
        "ahead": task.ahead,
        "verdict": task.verdict,
    }


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _condition(scores: ConditionScores) -> dict[str, Any]:
    return {
        "kept": _spread(scores.selected),
        "best": _spread(scores.best),
        "steps": scores.steps,
        "passes": scores.passes,
    }


def _spread(scores: SeedScores) -> dict[str, Any]:
    return {"mean": scores.mean, "deviation": scores.deviation, "scores": list(scores.scores)}

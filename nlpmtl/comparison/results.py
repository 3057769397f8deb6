"""Results of a comparison, in plain values. The condition "mixture" is the multi-task, "alone" the single-task one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from nlpmtl.comparison.statistics import CONFIDENCE, RESAMPLES, SeedScores, Verdict


@dataclass(frozen=True)
class ConditionScores:
    """Scores of a task in one condition, multi-task or single-task.

    Args:
        kept: scores of the selected checkpoints; the multi-task model has one checkpoint for all tasks.
        best: scores at the best evaluation of the task; for the multi-task model, a different step per task.
        steps: optimizer steps, mean over seeds.
        passes: passes over the rows of the task's datasets, mean over seeds.
    """

    kept: SeedScores
    best: SeedScores
    steps: float
    passes: float


@dataclass(frozen=True)
class TaskResult:
    """Multi-task versus single-task scores of a task.

    Args:
        rows: number of validation rows scored.
        mixture: scores of the multi-task model.
        alone: scores of the single-task model.
        difference: mean score of the selected checkpoints, multi-task minus single-task.
        interval: 95% confidence interval of the difference, over resampled rows.
        change: difference in percent of the single-task score; None if that is 0.
        ahead: number of seeds in which the multi-task model scored higher.
        verdict: whether the difference is significant, by the interval.
    """

    rows: int
    mixture: ConditionScores
    alone: ConditionScores
    difference: float
    interval: tuple[float, float]
    change: float | None
    ahead: int
    verdict: Verdict


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


@dataclass(frozen=True)
class CompareResult:
    """Multi-task versus single-task results of all tasks.

    Args:
        directory: directory of the runs and the report.
        seeds: seeds of the runs.
        tasks: results by task.
        delta: Δm, the mean relative change over tasks in percent; None if it is undefined for every task.
        delta_interval: 95% confidence interval of Δm, over resampled rows.
        mixture: cost of the multi-task model.
        alone: total cost of the single-task models.
        config: config of the multi-task run with the first seed, in plain values.
        machine: hardware and software that trained the models.
        notes: warnings about data and training.
    """

    directory: Path
    seeds: tuple[int, ...]
    tasks: Mapping[str, TaskResult]
    delta: float | None
    delta_interval: tuple[float, float]
    mixture: Cost
    alone: Cost
    config: Mapping[str, Any] = field(repr=False)
    machine: Mapping[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task]

    def mean(self, side: str) -> SeedScores:
        """Return the mean score over tasks of the selected checkpoints, per seed, of ``"mixture"`` or ``"alone"``."""
        by_seed = zip(*(getattr(task, side).kept.scores for task in self.tasks.values()), strict=True)
        return SeedScores(tuple(map(fmean, by_seed)))

    def to_json(self) -> dict[str, Any]:
        """Return the contents of compare.json."""
        means = {side: _spread(self.mean(side)) for side in ("mixture", "alone")}
        return {
            "seeds": list(self.seeds),
            "split": "validation",
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "tasks": {name: _task(task) for name, task in self.tasks.items()},
            "mean": means,
            "delta": {"percent": self.delta, "interval": list(self.delta_interval)},
            "cost": {"mixture": asdict(self.mixture), "alone": asdict(self.alone)},
            "config": self.config,
            "machine": self.machine,
            "notes": list(self.notes),
        }


def _task(task: TaskResult) -> dict[str, Any]:
    conditions = {
        name: {**vars(scores), "kept": _spread(scores.kept), "best": _spread(scores.best)}
        for name, scores in (("mixture", task.mixture), ("alone", task.alone))
    }
    return {**vars(task), **conditions, "interval": list(task.interval)}


def _spread(scores: SeedScores) -> dict[str, Any]:
    return {"mean": scores.mean, "deviation": scores.deviation, "scores": list(scores.scores)}

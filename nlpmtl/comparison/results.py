"""What a comparison found, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from nlpmtl.comparison.statistics import CONFIDENCE, RESAMPLES, SeedScores, Verdict


@dataclass(frozen=True)
class ConditionScores:
    """One task on one side of a comparison.

    Args:
        kept: its scores by the models that were kept: of the mixture, one checkpoint for all tasks.
        best: its scores at the evaluation where each was highest: of the mixture, another checkpoint for each task.
        steps: optimizer steps, the mean over seeds.
        passes: over the rows of its datasets, the mean over seeds.
    """

    kept: SeedScores
    best: SeedScores
    steps: float
    passes: float


@dataclass(frozen=True)
class TaskResult:
    """One task of the mixture, beside the same task alone.

    Args:
        rows: of validation that it was scored on.
        mixture: the model of all tasks.
        alone: the model of this task.
        difference: of the mean scores, mixture − alone, by the models that were kept …
        interval: … and between which values 95 % of it lie on resampled rows.
        change: the difference in percent of the score alone; None where that is 0.
        ahead: in how many seeds the mixture scored higher.
        verdict: what the interval says.
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
    """What a side takes, all its models together; the mean over seeds.

    Args:
        models: how many.
        seconds: of training steps.
        parameters: numbers in the models.
        size: bytes of their files of weights.
    """

    models: int
    seconds: float
    parameters: float
    size: float


@dataclass(frozen=True)
class CompareResult:
    """A mixture of tasks beside each task alone.

    Args:
        directory: where runs and reports are.
        seeds: of the runs.
        tasks: those that were compared.
        delta: Δm, the mean relative change of the tasks in percent; None where no score alone can be divided by …
        delta_interval: … and between which values 95 % of it lie on resampled rows.
        mixture: what the one model takes.
        alone: what the models of one task take.
        config: of the mixture, in plain values; of its first seed.
        machine: what trained it.
        notes: what a person should know.
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
        """The mean over the tasks of the scores that were kept, for each seed, of ``"mixture"`` or ``"alone"``."""
        columns = zip(*(getattr(one, side).kept.scores for one in self.tasks.values()), strict=True)
        return SeedScores(tuple(map(fmean, columns)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        means = {side: _spread(self.mean(side)) for side in ("mixture", "alone")}
        return {
            "seeds": list(self.seeds),
            "split": "validation",
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "tasks": {name: _task(one) for name, one in self.tasks.items()},
            "mean": means,
            "delta": {"percent": self.delta, "interval": list(self.delta_interval)},
            "cost": {"mixture": asdict(self.mixture), "alone": asdict(self.alone)},
            "config": self.config,
            "machine": self.machine,
            "notes": list(self.notes),
        }


def _task(one: TaskResult) -> dict[str, Any]:
    sides = {
        name: {"kept": _spread(side.kept), "best": _spread(side.best), "steps": side.steps, "passes": side.passes}
        for name, side in (("mixture", one.mixture), ("alone", one.alone))
    }
    return {**vars(one), **sides, "interval": list(one.interval)}


def _spread(one: SeedScores) -> dict[str, Any]:
    return {"mean": one.mean, "deviation": one.deviation, "scores": list(one.scores)}

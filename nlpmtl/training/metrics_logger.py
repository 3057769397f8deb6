"""What a run says while it trains: metrics.jsonl, evaluations.jsonl, and what trackers are told."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from nlpmtl.errors import RunError
from nlpmtl.evaluation import Scores
from nlpmtl.fs import write_atomic
from nlpmtl.strict_json import dumps
from nlpmtl.training.train_step import StepReport

_FLUSH_EVERY = 10
"""Steps between two looks at the device's losses: each look waits for it."""


class MetricsLogger:
    """Collects step reports and writes them out: one line of metrics.jsonl a step, one of evaluations.jsonl each time.

    Args:
        accelerator: to bring together the losses of all processes, and for trackers.
        directory: the run's.
        tasks: the names of the run's tasks.
        datasets: their names, where their probabilities are to be told: they are not the same at every step.
        tells_weights: whether the tasks' weights are to be told.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        *,
        directory: Path,
        tasks: Sequence[str],
        datasets: Sequence[str] = (),
        tells_weights: bool = False,
    ) -> None:
        self.accelerator, self.tasks, self.datasets, self.tells_weights = accelerator, tasks, datasets, tells_weights
        self.metrics, self.evaluations = directory / "metrics.jsonl", directory / "evaluations.jsonl"
        self._reports: list[StepReport] = []
        self._since = time.perf_counter()
        self._failures: list[str] = []
        self._failing: set[str] = set()

    def cut_back(self, step: int, *, evaluated: int | None = None, checkpoint: Path | None = None) -> None:
        """Rebuild both files as a checkpoint knows them: a resumed run writes the lines of later steps again.

        Args:
            step: the step of the checkpoint.
            evaluated: the step of the last evaluation that it knows; None: that of the checkpoint.
            checkpoint: its directory, which holds copies; one of nlpmtl 0.1 holds none, and lines of later steps are
                removed instead.
        """
        if self.accelerator.is_main_process:
            for path, last in ((self.metrics, step), (self.evaluations, step if evaluated is None else evaluated)):
                copy = None if checkpoint is None else checkpoint / path.name
                lines = _lines_up_to(path, last) if copy is None or not copy.exists() else copy.read_bytes()
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomic(path, lines)
                except OSError as error:
                    raise RunError(f"{path} cannot be written: {error}; the checkpoints are as they were") from error

    @property
    def files(self) -> dict[str, Path]:
        """The files by their names."""
        return {path.name: path for path in (self.metrics, self.evaluations)}

    def step(self, report: StepReport) -> dict[str, Any] | None:
        """Take in a step; every few steps the newest line of metrics comes back."""
        self._reports.append(report)
        return self.flush() if len(self._reports) >= _FLUSH_EVERY else None

    def start_clock(self) -> None:
        """Leave out of the next steps' seconds what came before: an evaluation or a save."""
        if not self._reports:
            self._since = time.perf_counter()

    def flush(self) -> dict[str, Any] | None:
        """Write the lines of all steps since the last flush; the newest comes back."""
        if not self._reports:
            return None
        sums = self.accelerator.reduce(torch.stack([report.sums for report in self._reports]), "sum").tolist()
        now = time.perf_counter()
        seconds = (now - self._since) / len(self._reports)
        told = zip(self._reports, sums, strict=True)
        lines = [{**_line(r, tasks=self.tasks, sums=s, seconds=seconds), **self._changing(r)} for r, s in told]
        self._reports, self._since = [], now
        if self.accelerator.is_main_process:
            _append(self.metrics, lines)
        for line in lines:
            flat = {f"loss/{task}": loss for task, loss in line["losses"].items()}
            self._track({"loss": line["loss"], "lr": line["lr"], **flat}, step=line["step"])
        return lines[-1]

    def _changing(self, report: StepReport) -> dict[str, Any]:
        """What of a line is not there in every run."""
        weights = {"weights": {task: _finite(w) for task, w in report.weights.items()}} if self.tells_weights else {}
        drawn = dict(zip(self.datasets, report.probabilities, strict=True)) if self.datasets else None
        return weights if drawn is None else {**weights, "sampling": drawn}

    def scores(self, scores: Scores, *, step: int) -> None:
        """Write the line of an evaluation, and send it to the trackers."""
        if self.accelerator.is_main_process:
            _append(self.evaluations, [{"step": step, **scores.to_json()}])
        flat = {f"score/{task}": values["score"] for task, values in scores.tasks.items()}
        self._track({"score/mean": scores.mean, **flat}, step=step)

    def _track(self, values: dict[str, Any], *, step: int) -> None:
        """Send values to the trackers; one that fails must not end the run."""
        for tracker in self.accelerator.trackers:
            try:
                tracker.log(values, step=step)
            except Exception as error:  # each tracker raises its own kinds
                if tracker.name not in self._failing:
                    told = f"train.trackers: {tracker.name} failed at step {step}: {type(error).__name__}: {error}"
                    self._failures.append(told)
                self._failing.add(tracker.name)

    def take_failures(self) -> list[str]:
        """What went wrong in trackers since this was last asked, each tracker once."""
        found, self._failures = self._failures, []
        return found


def _line(report: StepReport, *, tasks: Sequence[str], sums: Sequence[float], seconds: float) -> dict[str, Any]:
    """A line of metrics.jsonl; of a step that was left out it says so, and no losses."""
    means = {
        task: (summed / count, share)
        for task, summed, count, share in zip(tasks, sums, report.counts, report.shares, strict=True)
        if count and report.skipped is None
    }
    return {
        "step": report.step,
        "loss": sum(share * mean for mean, share in means.values()),
        "losses": {task: mean for task, (mean, _) in means.items()},
        "lr": report.lr,
        "tokens": report.tokens,
        "tokens_per_second": report.tokens / seconds,
        "seconds": seconds,
        **({} if report.skipped is None else {"skipped": report.skipped}),
    }


def _finite(value: float) -> float | None:
    """Return the number, or None, which JSON writes as null, if it is not finite."""
    return value if math.isfinite(value) else None


def _append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(dumps(line) + "\n" for line in lines)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}; the checkpoints are as they were") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl or evaluations.jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _lines_up_to(path: Path, step: int) -> bytes:
    """The whole lines of the first steps."""
    kept = []
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + b"\n")
            except (ValueError, KeyError, TypeError):  # the run was killed while it wrote this line
                break
    return b"".join(kept)

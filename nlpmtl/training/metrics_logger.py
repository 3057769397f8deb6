"""Logs of a run: metrics.jsonl, evaluations.jsonl, and experiment trackers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from nlpmtl.errors import RunError
from nlpmtl.evaluation import Scores
from nlpmtl.fs import write_atomic
from nlpmtl.strict_json import dumps
from nlpmtl.training.distributed import all_reduce_sum
from nlpmtl.training.events import StepReport

_FLUSH_EVERY = 10
"""Steps between flushes; each flush synchronises with the device."""


class MetricsLogger:
    """Writes one line of metrics.jsonl per step and one line of evaluations.jsonl per evaluation.

    Args:
        accelerator: rank and trackers.
        directory: directory of the run.
        tasks: names of the run's tasks.
        datasets: names of the datasets, if their probabilities are logged because they change during the run.
        log_weights: whether the task weights are logged.
        total_steps: optimizer steps of the run. If a line cannot be written after the last step, that is a failure that
            does not end the run.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        *,
        directory: Path,
        tasks: Sequence[str],
        datasets: Sequence[str] = (),
        log_weights: bool = False,
        total_steps: int,
    ) -> None:
        self.accelerator, self.tasks, self.datasets, self.log_weights = accelerator, tasks, datasets, log_weights
        self.total_steps = total_steps
        self.metrics, self.evaluations = directory / "metrics.jsonl", directory / "evaluations.jsonl"
        self._reports: list[StepReport] = []
        self._clock = time.perf_counter()
        self._new_failures: list[str] = []
        self._failed_trackers: set[str] = set()

    def truncate_after(self, step: int, *, last_evaluation: int | None = None, checkpoint: Path | None = None) -> None:
        """Restore both files to their content at a checkpoint: a resumed run writes the later lines again.

        Args:
            step: step of the checkpoint.
            last_evaluation: step of the last evaluation before the checkpoint was written; default: `step`.
            checkpoint: directory of the checkpoint, which holds copies. Without copies (nlpmtl 0.1), the lines of later
                steps are removed.
        """
        if self.accelerator.is_main_process:
            last_steps = {self.metrics: step, self.evaluations: step if last_evaluation is None else last_evaluation}
            for path, last_step in last_steps.items():
                copy = None if checkpoint is None else checkpoint / path.name
                lines = _lines_up_to(path, last_step) if copy is None or not copy.exists() else copy.read_bytes()
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomic(path, lines)
                except OSError as error:
                    raise _write_error(path, error) from error

    def read_evaluations(self, step: int) -> list[dict[str, Any]]:
        """Return the lines of evaluations.jsonl up to a step."""
        return [json.loads(line) for line in _lines_up_to(self.evaluations, step).splitlines()]

    @property
    def files(self) -> dict[str, Path]:
        """Both files by name."""
        return {path.name: path for path in (self.metrics, self.evaluations)}

    def log_step(self, report: StepReport) -> dict[str, Any] | None:
        """Collect the report of a step; every few steps, flush and return the last line of metrics.jsonl."""
        self._reports.append(report)
        return self.flush() if len(self._reports) >= _FLUSH_EVERY else None

    def start_clock(self) -> None:
        """Exclude the time of an evaluation or a save from the seconds per step."""
        if not self._reports:
            self._clock = time.perf_counter()

    def flush(self) -> dict[str, Any] | None:
        """Write the lines of all steps since the last flush and return the last one; None without steps."""
        if not self._reports:
            return None
        sums = all_reduce_sum(torch.stack([report.loss_sums for report in self._reports])).tolist()
        now = time.perf_counter()
        seconds = (now - self._clock) / len(self._reports)
        lines = [
            {**_line(report, tasks=self.tasks, sums=loss_sums, seconds=seconds), **self._optional_fields(report)}
            for report, loss_sums in zip(self._reports, sums, strict=True)
        ]
        self._reports, self._clock = [], now
        if self.accelerator.is_main_process:
            self._append(self.metrics, lines)
        for line in lines:
            losses = {f"loss/{task}": loss for task, loss in line["losses"].items()}
            self._track({"loss": line["loss"], "lr": line["lr"], **losses}, step=line["step"])
        return lines[-1]

    def _optional_fields(self, report: StepReport) -> dict[str, Any]:
        """Return the fields of a line that only some runs have."""
        fields: dict[str, Any] = {}
        if self.log_weights:
            fields["weights"] = {task: _finite(weight) for task, weight in report.weights.items()}
        if self.datasets:
            fields["sampling"] = dict(zip(self.datasets, report.probabilities, strict=True))
        return fields

    def log_scores(self, scores: Scores, *, step: int) -> None:
        """Write the line of an evaluation and send it to the trackers."""
        if self.accelerator.is_main_process:
            self._append(self.evaluations, [{"step": step, **scores.to_json()}])
        by_task = {f"score/{task}": values["score"] for task, values in scores.tasks.items()}
        self._track({"score/mean": scores.mean, **by_task}, step=step)

    def _append(self, path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to a log.

        Raises:
            RunError: the log cannot be written, and the run has further steps.
        """
        try:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(dumps(line) + "\n" for line in lines)
        except OSError as error:
            if lines[-1]["step"] < self.total_steps:
                raise _write_error(path, error) from error
            self._new_failures.append(f"{path.name} is not complete: {error}")

    def _track(self, values: dict[str, Any], *, step: int) -> None:
        """Send values to the trackers; one that fails does not end the run."""
        for tracker in self.accelerator.trackers:
            try:
                tracker.log(values, step=step)
            except Exception as error:  # each tracker raises exceptions of its own
                if tracker.name not in self._failed_trackers:
                    self._new_failures.append(
                        f"train.trackers: {tracker.name} failed at step {step}: {type(error).__name__}: {error}"
                    )
                self._failed_trackers.add(tracker.name)

    def take_failures(self) -> list[str]:
        """Return the failures since the last call: of trackers, one per tracker, and of logs."""
        failures, self._new_failures = self._new_failures, []
        return failures


def _line(report: StepReport, *, tasks: Sequence[str], sums: Sequence[float], seconds: float) -> dict[str, Any]:
    """Return a line of metrics.jsonl; that of a skipped step has no losses."""
    means = {
        task: (summed / count, factor)
        for task, summed, count, factor in zip(tasks, sums, report.counts, report.loss_factors, strict=True)
        if count and report.skipped is None
    }
    return {
        "step": report.step,
        "loss": sum(factor * mean for mean, factor in means.values()),
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


def _write_error(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be written: {error}; existing checkpoints are unchanged")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl or evaluations.jsonl."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _lines_up_to(path: Path, step: int) -> bytes:
    """Return the complete lines up to a step."""
    kept = []
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + b"\n")
            except (ValueError, KeyError, TypeError):  # the run was killed while it wrote this line
                break
    return b"".join(kept)

"""The state of a run that views show: active stages, and the loss, score and best score of each task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nlpmtl.stages import StageProgress, StopRequested

_MIN_SHOWN_SECONDS = 0.05
"""Shorter stages are not listed at the end of a run."""


@dataclass
class Bar:
    """Progress of an active stage.

    Args:
        label: name of the stage.
        total: number of items; None if unknown.
        completed: number of items that are processed.
        first: value of `completed` when the stage started, which is not 0 for a resumed run.
        started: time at which it started, in seconds of the clock of the `RunProgress`.
        text: details.
    """

    label: str
    total: int | None = None
    completed: int = 0
    first: int = 0
    started: float = 0.0
    text: str = ""

    def remaining(self, now: float) -> float | None:
        """Return the estimated number of seconds to the end of the stage; None if it cannot be estimated."""
        if self.total is None or self.completed <= self.first:
            return None
        return (now - self.started) / (self.completed - self.first) * (self.total - self.completed)


@dataclass
class TaskProgress:
    """Progress of a task.

    Args:
        loss: mean train loss in the last logged step with labels of the task; None before it.
        score: validation score of the last evaluation; None before it, or if the score is undefined.
        best: best validation score so far.
        best_step: step of the best score.
    """

    loss: float | None = None
    score: float | None = None
    best: float | None = None
    best_step: int | None = None


@dataclass
class RunProgress:
    """State of a run, updated by its events.

    Args:
        now: a clock, in seconds.

    Attributes:
        bars: active stages by name, the outermost first.
        tasks: progress of each task.
        mean: mean score of the last evaluation.
        best_mean: mean score of the best evaluation.
        stopping: whether a signal was received.
        seconds: duration of the stages that are finished.

    Example:
        >>> progress = RunProgress()
        >>> lines = list(progress.apply(StageProgress("tokenizing", 1, 3)))
        >>> progress.bars["tokenizing"].completed, progress.bars["tokenizing"].total
        (1, 3)
    """

    now: Callable[[], float] = time.monotonic
    bars: dict[str, Bar] = field(default_factory=dict)
    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    mean: float | None = None
    best_mean: float | None = None
    stopping: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def start(self, label: str, *, total: int | None = None, completed: int = 0) -> Bar:
        """Start a stage."""
        self.bars[label] = Bar(label, total, completed, completed, self.now())
        return self.bars[label]

    def apply(self, event: object) -> Iterator[str]:
        """Update the state by an event of a run, and yield the lines for the user to keep."""
        if isinstance(event, StageProgress):
            self._apply_stage(event)
        elif isinstance(event, StopRequested):
            self.stopping = True
        else:
            yield from self._apply_event(event)

    def _apply_stage(self, event: StageProgress) -> None:
        if event.seconds is not None:
            self.bars.pop(event.stage, None)
            self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + event.seconds
            return
        self.seconds.setdefault(event.stage, 0.0)  # in the order in which the stages start
        bar = self.bars.get(event.stage) or self.start(event.stage, total=event.total)
        if event.total is not None:
            bar.completed, bar.text = event.completed, f"{event.completed:,} of {event.total:,}"

    def _apply_event(self, event: Any) -> Iterator[str]:
        from nlpmtl.training import EvaluationDone, Message, StepLogged, TrainingStarted  # they import torch

        if isinstance(event, TrainingStarted):
            yield from event.notes
            yield f"training: {event.total} steps" + (f", from step {event.step}" if event.step else "")
            self.tasks, self.mean, self.best_mean = {task: TaskProgress() for task in event.tasks}, None, None
            for line in event.evaluations:
                self._apply_scores(line["step"], line["tasks"], mean=line["mean"])
            self.start("training", total=event.total, completed=event.step)
        elif isinstance(event, StepLogged):
            self._apply_step(event.metrics)
        elif isinstance(event, Message):
            yield event.line
        elif isinstance(event, EvaluationDone):
            self._apply_scores(event.step, event.scores.tasks, mean=event.scores.mean)
            scores = "".join(f"  {task} {event.scores.of(task):.3f}" for task in event.scores.tasks)
            yield f"step {event.step}: mean {event.scores.mean:.4f}{' (best)' * event.best}{scores}"

    def _apply_step(self, metrics: Any) -> None:
        for task, loss in metrics.get("losses", {}).items():  # measuring affinity logs only the total
            self.tasks.setdefault(task, TaskProgress()).loss = loss
        bar = self.bars.get("training") or self.start("training")
        bar.completed = metrics["step"]
        rates = f"loss {metrics['loss']:.4f}  {metrics['tokens_per_second']:,.0f} tokens/s"
        bar.text = f"step {bar.completed}/{bar.total}  {rates}"

    def _apply_scores(self, step: int, tasks: Mapping[str, Any], *, mean: float) -> None:
        for name, values in tasks.items():
            task, score = self.tasks.setdefault(name, TaskProgress()), values["score"]
            task.score = score
            if score is not None and (task.best is None or score > task.best):
                task.best, task.best_step = score, step
        self.mean = mean
        if self.best_mean is None or mean > self.best_mean:
            self.best_mean = mean

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield the table of tasks: name, loss, score, best score and its step; then the mean scores."""
        for name, task in self.tasks.items():
            step = "" if task.best_step is None else str(task.best_step)
            yield name, _number(task.loss), _number(task.score), _number(task.best), step
        if self.mean is not None:
            yield "mean", "", _number(self.mean), _number(self.best_mean), ""

    def timings(self) -> str:
        """Return a line with the duration of each finished stage; empty without stages."""
        shown = {stage: seconds for stage, seconds in self.seconds.items() if seconds >= _MIN_SHOWN_SECONDS}
        total = sum(self.seconds.values())
        parts = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in shown.items())
        return f"time: {duration(total)} ({parts})" if shown else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Format a duration.

    >>> duration(0.44), duration(17.2), duration(75), duration(7500)
    ('0.4 s', '17 s', '1:15 min', '2:05 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"

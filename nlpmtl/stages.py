"""Stages of a run, such as tokenizing and evaluating: what is reported while one computes, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class StageProgress:
    """Event: progress within a stage of a run.

    Args:
        stage: name of the stage: "loading the encoder", "tokenizing", "training", "evaluating", "calibrating",
            "scoring", "drawing plots" or "writing".
        completed: number of datasets (tokenizing) or token sequences (evaluating) that are processed.
        total: their number in all; None if the stage does not count.
        seconds: duration of the stage, set when it ends: that of a stage within it is not included.
    """

    stage: str
    completed: int = 0
    total: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class StopRequested:
    """Event: a signal was received; the run saves a checkpoint after the current step and stops.

    It is reported by the signal handler, so a function that receives it must neither block nor raise.

    Args:
        signal: number of the signal.
    """

    signal: int


OnProgress = Callable[[StageProgress | StopRequested], None]
"""Receives what is reported while a run computes."""


class Stages:
    """Measures the stages of a run and reports their progress.

    Args:
        report: called with each `StageProgress`, and with `StopRequested`, while the run computes; default: nothing is
            reported.
        now: a clock, in seconds.

    Attributes:
        seconds: duration of each stage in order of their first start, summed over its repetitions.

    Example:
        >>> stages = Stages(print, now=iter([0.0, 2.0]).__next__)
        >>> with stages.stage("tokenizing", total=1) as advance:
        ...     advance(1)
        StageProgress(stage='tokenizing', completed=0, total=1, seconds=None)
        StageProgress(stage='tokenizing', completed=1, total=1, seconds=None)
        StageProgress(stage='tokenizing', completed=1, total=1, seconds=2.0)
        >>> stages.seconds
        {'tokenizing': 2.0}
    """

    def __init__(self, report: OnProgress | None = None, *, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._report, self._now = report or (lambda event: None), now
        self._inner = [0.0]
        """For each stage that is active, the seconds of the stages within it."""

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Measure the block as a stage; it may call the returned function with the number of items it has processed.

        Args:
            name: name of the stage.
            total: number of items; None if they are not counted.
        """
        completed = 0

        def advance(count: int) -> None:
            nonlocal completed
            completed += count
            self._report(StageProgress(name, completed, total))

        self.seconds.setdefault(name, 0.0)
        self._report(StageProgress(name, 0, total))
        start = self._now()
        self._inner.append(0.0)
        try:
            yield advance
        finally:
            elapsed = self._now() - start
            seconds = elapsed - self._inner.pop()
            self._inner[-1] += elapsed
            self.seconds[name] += seconds
            self._report(StageProgress(name, completed, total, seconds))

    def stop_requested(self, signal: int) -> None:
        """Report that a signal was received."""
        self._report(StopRequested(signal))

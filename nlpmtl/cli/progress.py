"""How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere, nothing in a second process."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from nlpmtl.cli.console import echo, is_main_process
from nlpmtl.errors import plain

if TYPE_CHECKING:
    from rich.console import Console

    from nlpmtl.run import Event

Result = TypeVar("Result")
_PAUSE = 10.0
"""Seconds between two lines."""


def display_events(events: Iterable[Event | Result], *, ends: type[Result]) -> Result:
    """Show what happens until it ends, and return how it ended: with an event of that type."""
    view = _view()
    result = None
    with view.open() if view is not None else nullcontext():
        for event in events:
            if isinstance(event, ends):
                result = event
            elif view is not None:
                view.show(event)
    assert result is not None, "what ends without an error ends with its result"
    return result


def _view() -> ProgressView | None:
    if not is_main_process():
        return None
    if not sys.stderr.isatty():
        return Lines(lambda line: echo(line, err=True))
    from rich.console import Console

    return Bar(Console(stderr=True, markup=False, emoji=False, highlight=False))


class ProgressView(ABC):
    """Shows a run's events."""

    def show(self, event: object) -> None:
        """Show one."""
        from nlpmtl.run import TrainingStarted
        from nlpmtl.training import EvaluationDone, Message, StepLogged

        if isinstance(event, TrainingStarted):
            for note in event.notes:
                self.say(note)
            self.start(event.step, total=event.total)
        elif isinstance(event, StepLogged):
            self.advance(event.metrics)
        elif isinstance(event, Message):
            self.say(event.line)
        elif isinstance(event, EvaluationDone):
            self.say(f"step {event.step}: mean score {event.scores.mean:.4f}{', the best so far' * event.best}")

    @abstractmethod
    def open(self) -> AbstractContextManager[object]:
        """What to show it in."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def start(self, step: int, *, total: int) -> None:
        """The first step is about to be taken."""

    @abstractmethod
    def advance(self, metrics: Mapping[str, Any]) -> None:
        """Steps were taken; the newest line of metrics.jsonl."""


class Lines(ProgressView):
    """A plain line now and then.

    Args:
        write: writes a line.
        now: a clock, in seconds.
    """

    def __init__(self, write: Callable[[str], None], *, now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._total = self._first = 0
        self._began = self._last = 0.0

    def open(self) -> AbstractContextManager[object]:
        return nullcontext()

    def say(self, line: str) -> None:
        self._write(line)

    def start(self, step: int, *, total: int) -> None:
        self._first, self._total = step, total
        self._began = self._last = self._now()
        self.say(f"training: {total} steps" + (f", from step {step} on" if step else ""))

    def advance(self, metrics: Mapping[str, Any]) -> None:
        now = self._now()
        if now - self._last < _PAUSE:
            return
        self._last = now
        step = metrics["step"]
        left = (now - self._began) / (step - self._first) * (self._total - step)
        self.say(f"step {step}/{self._total}  {_rates(metrics)}  {_duration(left)} left")


class Bar(ProgressView):
    """A bar on a terminal.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("loading", total=None, rates="")

    def open(self) -> AbstractContextManager[object]:
        return self._progress

    def say(self, line: str) -> None:
        self._progress.console.print(plain(line))

    def start(self, step: int, *, total: int) -> None:
        self._progress.reset(self._task, total=total, completed=step, description="training")

    def advance(self, metrics: Mapping[str, Any]) -> None:
        self._progress.update(self._task, completed=metrics["step"], rates=_rates(metrics))


def _rates(metrics: Mapping[str, Any]) -> str:
    return f"loss {metrics['loss']:.4f}  {metrics['tokens_per_second']:,.0f} tokens/s"


def _duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds.

    >>> _duration(75), _duration(7500)
    ('1:15 min', '2:05 h')
    """
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"

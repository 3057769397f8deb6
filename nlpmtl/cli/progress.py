"""Progress on stderr: a bar on a terminal, a plain line every ten seconds elsewhere, nothing on other ranks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from nlpmtl.cli.console import echo, is_main_process
from nlpmtl.errors import plain

if TYPE_CHECKING:
    from rich.console import Console

    from nlpmtl.file_prediction import FileProgress
    from nlpmtl.run import Event

Result = TypeVar("Result")
_INTERVAL = 10.0
"""Seconds between two plain lines."""


def display_events(events: Iterable[Event | Result], *, ends: type[Result]) -> Result:
    """Show the events of a run until an event of type `ends`, and return that."""
    view = progress_view(visible=is_main_process())
    result = None
    with view.open("loading"):
        for event in events:
            if isinstance(event, ends):
                result = event
            else:
                _show_event(view, event)
    assert result is not None, "a run without an error ends with its result"
    return result


def _show_event(view: ProgressView, event: object) -> None:
    from nlpmtl.run import TrainingStarted
    from nlpmtl.training import EvaluationDone, Message, StepLogged

    if isinstance(event, TrainingStarted):
        for note in event.notes:
            view.message(note)
        view.message(f"training: {event.total} steps" + (f", from step {event.step}" if event.step else ""))
        view.start("training", total=event.total, completed=event.step)
    elif isinstance(event, StepLogged):
        step, metrics = event.metrics["step"], event.metrics
        rates = f"loss {metrics['loss']:.4f}  {metrics['tokens_per_second']:,.0f} tokens/s"
        view.update(step, f"step {step}/{view.total}  {rates}")
    elif isinstance(event, Message):
        view.message(event.line)
    elif isinstance(event, EvaluationDone):
        scores = "".join(f"  {task} {event.scores.of(task):.3f}" for task in event.scores.tasks)
        view.message(f"step {event.step}: mean {event.scores.mean:.4f}{' (best)' * event.best}{scores}")


class PredictionProgress:
    """Progress of predicting a file: bytes read and inputs predicted.

    Args:
        view: shows it.
        size: size of the file in bytes; None if unknown, as for stdin.
    """

    def __init__(self, view: ProgressView, *, size: int | None) -> None:
        self._view, self._size = view, size
        self._bytes = self._inputs = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress while the block runs."""
        with self._view.open("predicting"):
            self._view.start("predicting", total=self._size)
            yield

    def add_bytes(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes += count

    def add_input(self) -> None:
        """Count an input that was predicted."""
        self._inputs += 1
        share = f"  {self._bytes / self._size:.0%} of the file" if self._size else ""
        self._view.update(self._bytes, f"{self._inputs:,} inputs{share}")


class FilesProgress:
    """Progress of predicting files: rows, and rows per second.

    Args:
        view: shows it.
        on_predicting: is called before the model is loaded.
        now: a clock, in seconds.

    Attributes:
        rows: number of rows that are predicted and saved.
        is_saved: whether the prediction has begun, so that an interrupted one continues.
    """

    def __init__(
        self,
        view: ProgressView,
        *,
        on_predicting: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view, self._on_predicting, self._now = view, on_predicting, now
        self._stage: str | None = None
        self._first, self._start = 0, now()
        self.rows, self.is_saved = 0, False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress while the block runs."""
        with self._view.open("checking"):
            yield

    def show(self, progress: FileProgress) -> None:
        """Show the progress of a stage."""
        stage, rows, total = progress
        if stage != self._stage:
            self._stage, self._first, self._start = stage, rows, self._now()
            if stage == "predicting" and rows:
                self._view.message(f"{rows:,} of {total:,} rows are predicted already")
            self._view.start(stage, total=total, completed=rows)
            if stage == "predicting":
                self._on_predicting()
        if stage == "predicting":
            self.rows, self.is_saved = rows, True
        seconds = self._now() - self._start
        rate = f"  {(rows - self._first) / seconds:,.0f} rows/s" if seconds > 0 and rows > self._first else ""
        self._view.update(rows, f"{rows:,} rows{rate}" if total is None else f"{rows:,} of {total:,} rows{rate}")


def progress_view(*, visible: bool = True) -> ProgressView:
    """Return the view for this process's stderr: a bar, plain lines, or nothing if not visible."""
    if not visible:
        return ProgressView()
    if not sys.stderr.isatty():
        return PlainProgress(lambda line: echo(line, err=True))
    from rich.console import Console

    return BarProgress(Console(stderr=True, markup=False, emoji=False, highlight=False))


class ProgressView:
    """A view that shows nothing, and the base of those that show something."""

    total: int | None = None

    @contextmanager
    def open(self, label: str) -> Iterator[None]:
        """Show the view while the block runs."""
        yield

    def message(self, line: str) -> None:
        """Print a line that stays."""

    def start(self, label: str, *, total: int | None, completed: int = 0) -> None:
        """Start to measure progress; a total of None is unknown."""
        self.total = total

    def update(self, completed: int, text: str) -> None:
        """Show how much is completed, and a text with details."""


class PlainProgress(ProgressView):
    """Plain lines, one every ten seconds.

    Args:
        write: writes a line.
        now: a clock, in seconds.
    """

    def __init__(self, write: Callable[[str], None], *, now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._first = 0
        self._start_time = self._last_time = now()

    def message(self, line: str) -> None:
        self._write(line)

    def start(self, label: str, *, total: int | None, completed: int = 0) -> None:
        self.total, self._first = total, completed
        self._start_time = self._last_time = self._now()

    def update(self, completed: int, text: str) -> None:
        now = self._now()
        if now - self._last_time < _INTERVAL:
            return
        self._last_time = now
        if self.total is not None and completed > self._first:
            remaining = (now - self._start_time) / (completed - self._first) * (self.total - completed)
            text = f"{text}  {_duration(remaining)} left"
        self._write(text)


class BarProgress(ProgressView):
    """A bar on a terminal.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None, text="")

    @contextmanager
    def open(self, label: str) -> Iterator[None]:
        self._progress.update(self._task, description=label)
        with self._progress:
            yield

    def message(self, line: str) -> None:
        self._progress.console.print(plain(line))

    def start(self, label: str, *, total: int | None, completed: int = 0) -> None:
        self.total = total
        self._progress.reset(self._task, total=total, completed=completed, description=label)

    def update(self, completed: int, text: str) -> None:
        self._progress.update(self._task, completed=completed, text=text)


def _duration(seconds: float) -> str:
    """Format a duration as minutes and seconds, or as hours and minutes.

    >>> _duration(75), _duration(7500)
    ('1:15 min', '2:05 h')
    """
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"

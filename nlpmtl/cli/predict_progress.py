"""How far a file of texts is answered, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

_PAUSE = 10.0
"""Seconds between two lines."""


def watch(size: int | None, *, silent: bool) -> Reading:
    """What shows how far it is.

    Args:
        size: of the file in bytes; None where it is unknown.
        silent: show no bar, as where answers appear on the same terminal.
    """
    if not sys.stderr.isatty():
        return Lines(size, lambda line: typer.echo(line, err=True))
    if silent:
        return Lines(size, lambda line: None)
    from rich.console import Console

    return Bar(size, Console(stderr=True, markup=False, emoji=False, highlight=False))


class Reading(ABC):
    """Counts bytes that are read, and texts that are answered.

    Args:
        size: of the file in bytes; None where it is unknown.
    """

    def __init__(self, size: int | None) -> None:
        self._size, self._bytes, self._texts = size, 0, 0

    def read(self, many: int) -> None:
        """So many more bytes were read."""
        self._bytes += many

    def answered(self) -> None:
        """One more text is answered."""
        self._texts += 1
        self._show()

    @abstractmethod
    def open(self) -> AbstractContextManager[object]:
        """What to show it in."""

    @abstractmethod
    def _show(self) -> None:
        """Show how far it is, if it is time to."""


class Lines(Reading):
    """A plain line now and then.

    Args:
        size: of the file in bytes; None where it is unknown.
        write: writes a line.
        now: a clock, in seconds.
    """

    def __init__(
        self, size: int | None, write: Callable[[str], None], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(size)
        self._write, self._now = write, now
        self._last = now()

    def open(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _show(self) -> None:
        now = self._now()
        if now - self._last < _PAUSE:
            return
        self._last = now
        share = f", {self._bytes / self._size:.0%} of the file read" if self._size else ""
        self._write(f"{self._texts:,} texts{share}")


class Bar(Reading):
    """A bar on a terminal.

    Args:
        size: of the file in bytes; None where it is unknown.
        console: where to draw.
    """

    def __init__(self, size: int | None, console: Console) -> None:
        super().__init__(size)
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("predicting"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[texts]:,} texts", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=size, texts=0)

    def open(self) -> AbstractContextManager[object]:
        return self._progress

    def _show(self) -> None:
        self._progress.update(self._task, completed=self._bytes, texts=self._texts)

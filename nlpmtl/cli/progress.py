"""Progress of the commands on stderr: events of runs, and prediction of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from nlpmtl.progress import RunProgress, View, display

if TYPE_CHECKING:
    from nlpmtl.run import Event

Result = TypeVar("Result")


def display_events(start: Callable[[Callable[[Any], None]], Iterable[Event | Result]], *, ends: type[Result]) -> Result:
    """Show the events of a run until an event of type `ends`, and return that.

    Args:
        start: starts the run and returns its events; its argument is the function to call while the run computes.
        ends: type of the last event.
    """
    result = None
    with display() as show:
        for event in start(show):
            show(event)
            if isinstance(event, ends):
                result = event
    assert result is not None, "a run without an error ends with its result"
    return result


class PredictionProgress:
    """Progress of predicting a file: bytes read and inputs predicted.

    Args:
        view: shows it.
        size: size of the file in bytes; None if unknown, as for stdin.
        progress: state that the view shows.
    """

    def __init__(self, view: View, *, size: int | None, progress: RunProgress | None = None) -> None:
        self._view, self._size, self._progress = view, size, progress or RunProgress()
        self._bytes = self._inputs = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress while the block runs."""
        self._bar = self._progress.start("predicting", total=self._size)
        with self._view.open(self._progress):
            self._view.update(self._progress)
            yield

    def add_bytes(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes += count

    def add_input(self) -> None:
        """Count an input that was predicted."""
        self._inputs += 1
        share = f"  {self._bytes / self._size:.0%} of the file" if self._size else ""
        self._bar.completed, self._bar.text = self._bytes, f"{self._inputs:,} inputs{share}"
        self._view.update(self._progress)

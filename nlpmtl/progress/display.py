"""Choice of the view for this process, and the display of a run's events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nlpmtl.environment import is_main_process
from nlpmtl.errors import escape_control_characters
from nlpmtl.notebook import in_kernel, is_terminal
from nlpmtl.progress.state import RunProgress
from nlpmtl.progress.views import NotebookView, PlainView, TerminalView, View
from nlpmtl.stages import StopRequested

Result = TypeVar("Result")


def progress_view(*, visible: bool = True) -> View:
    """Return the view for this process: HTML, a live table or plain lines on stderr, or nothing if not visible."""
    if not visible:
        return View()
    if in_kernel():
        return NotebookView(_notebook_output())
    if not is_terminal(sys.stderr):
        return PlainView(_write_line)
    from rich.console import Console

    return TerminalView(Console(stderr=True, markup=False, emoji=False, highlight=False))


@contextmanager
def display(view: View | None = None) -> Iterator[Callable[[Any], None]]:
    """Show a run while the block runs; the block passes each of its events to the returned function.

    Args:
        view: shows the run; default: that of `progress_view` on rank 0, and none on other ranks.
    """
    view = progress_view(visible=is_main_process()) if view is None else view
    progress = RunProgress()

    def show(event: Any) -> None:
        lines = list(progress.apply(event))
        if isinstance(event, StopRequested):
            view.stop(progress)
            return
        for line in lines:
            view.message(line)
        view.update(progress)

    with view.open(progress):
        yield show
        timings = progress.timings()
        if timings:
            view.message(timings)


def display_events(
    start: Callable[[Callable[[Any], None]], Iterable[Any]], *, ends: type[Result], view: View | None = None
) -> Result:
    """Show the events of a run until an event of type `ends`, and return that.

    Args:
        start: starts the run and returns its events; its argument is the function to call while the run computes.
        ends: type of the last event.
        view: as for `display`.
    """
    result = None
    with display(view) as show:
        for event in start(show):
            show(event)
            if isinstance(event, ends):
                result = event
    assert result is not None, "a run without an error ends with its result"
    return result


def _write_line(line: str) -> None:
    sys.stderr.write(f"{escape_control_characters(line)}\n")
    sys.stderr.flush()


def _notebook_output() -> Callable[[str], None]:
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    return lambda html: handle.update(HTML(html))

"""Views of a `RunProgress`: a live table on a terminal, HTML in a notebook, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from nlpmtl.errors import escape_control_characters, escape_line
from nlpmtl.progress.state import RunProgress, duration
from nlpmtl.tables import html_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

COLUMNS = ("task", "loss", "score", "best", "at step")
"""Headings of the table of tasks."""
STOPPING = "stopping: a checkpoint is saved after the current step. Press Ctrl-C again to quit without saving it"
STOPPING_IN_NOTEBOOK = (
    "stopping: a checkpoint is saved after the current step. Interrupt again to stop without saving it"
)
_PLAIN_SECONDS, _NOTEBOOK_SECONDS = 10.0, 0.5
"""Minimum number of seconds between two plain lines, and between two updates of a notebook."""
_STDERR = 2


class View:
    """A view that shows nothing, and the base of those that show something."""

    @contextmanager
    def open(self, progress: RunProgress) -> Iterator[None]:
        """Show the state of a run while the block runs."""
        yield

    def message(self, line: str) -> None:
        """Show a line that stays."""

    def update(self, progress: RunProgress) -> None:
        """Show a changed state."""

    def stop(self, progress: RunProgress) -> None:
        """Acknowledge a signal. A signal handler calls this, so it neither blocks nor writes to a buffered stream."""


class PlainView(View):
    """Plain lines: those that stay at once, and one about the innermost stage every ten seconds.

    Args:
        write: writes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last: float | None = None

    def message(self, line: str) -> None:
        self._write(line)

    def update(self, progress: RunProgress) -> None:
        now = progress.now()
        bar = next(reversed(progress.bars.values()), None)
        self._last = now if self._last is None else self._last
        if bar is None or now - self._last < _PLAIN_SECONDS:
            return
        self._last = now
        remaining = bar.remaining(now)
        is_training = bar.label in ("training", "predicting")
        text = bar.text if is_training else f"{bar.label} {bar.text}".rstrip()
        self._write(text + ("" if remaining is None else f"  {duration(remaining)} left"))

    def stop(self, progress: RunProgress) -> None:
        os.write(_STDERR, f"{STOPPING}\n".encode())


class TerminalView(View):
    """A live table of the tasks, above a bar for each active stage.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: RunProgress | None = None

    @contextmanager
    def open(self, progress: RunProgress) -> Iterator[None]:
        from rich.live import Live

        self._progress = progress
        # A thread of Live renders the state four times per second, so a signal is acknowledged without its handler.
        with Live(get_renderable=self._render, console=self._console, transient=True):
            yield

    def message(self, line: str) -> None:
        self._console.print(escape_control_characters(line))

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        progress = self._progress
        assert progress is not None, "Live renders only while it is open"
        parts: list[RenderableType] = []
        if progress.tasks:
            parts.append(_table(progress))
        if progress.bars:
            parts.append(_bars(progress))
        if progress.stopping:
            parts.append(Text(STOPPING))
        return Group(*parts)


def _table(progress: RunProgress) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "task" else "right", no_wrap=column != "task")
    for name, *numbers in list(progress.rows()):
        table.add_row(Text(escape_line(name)), *numbers)
    return table


def _bars(progress: RunProgress) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    now = progress.now()
    for bar in list(progress.bars.values()):
        remaining = bar.remaining(now)
        left = "" if remaining is None else f"{duration(remaining)} left"
        progress_bar = ProgressBar(total=bar.total or None, completed=bar.completed, width=30, pulse=not bar.total)
        grid.add_row(Text(bar.label), progress_bar, Text(escape_line(bar.text)), left)
    return grid


class NotebookView(View):
    """HTML in the output of a notebook cell, which is replaced at every update.

    Args:
        show: displays HTML, in the place of what it displayed before.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._lines: list[str] = []
        self._last = 0.0

    @contextmanager
    def open(self, progress: RunProgress) -> Iterator[None]:
        self._show(self._html(progress))
        try:
            yield
        finally:
            self._show(self._html(progress))

    def message(self, line: str) -> None:
        self._lines.append(line)

    def update(self, progress: RunProgress) -> None:
        now = progress.now()
        if now - self._last >= _NOTEBOOK_SECONDS:
            self._last = now
            self._show(self._html(progress))

    def stop(self, progress: RunProgress) -> None:
        self._last = 0.0  # the next update shows it too
        os.write(_STDERR, f"{STOPPING_IN_NOTEBOOK}\n".encode())  # which a thread of the kernel displays at once

    def _html(self, progress: RunProgress) -> str:
        return to_html(progress, lines=self._lines)


def to_html(progress: RunProgress, *, lines: Any = ()) -> str:
    """Return the state of a run as HTML: lines, the table of tasks, and a bar for each active stage."""
    parts = [f"<pre>{escape(escape_control_characters(chr(10).join(lines)))}</pre>"] if lines else []
    if progress.tasks:
        parts.append(html_table(COLUMNS, progress.rows()))
    for bar in progress.bars.values():
        value = f' value="{bar.completed}" max="{bar.total}"' if bar.total else ""
        parts.append(
            f"<div>{escape(escape_line(bar.label))} <progress{value}></progress> {escape(escape_line(bar.text))}</div>"
        )
    if progress.stopping:
        parts.append(f"<div>{STOPPING_IN_NOTEBOOK}</div>")
    return "".join(parts)

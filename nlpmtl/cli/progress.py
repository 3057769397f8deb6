"""Progress of predicting a file, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nlpmtl.progress import RunProgress, View

if TYPE_CHECKING:
    from nlpmtl.file_prediction import FileProgress


class PredictionProgress:
    """Progress of predicting a file: bytes read and inputs predicted.

    Args:
        view: shows it.
        size: size of the file in bytes; None if unknown, as for stdin.
        progress: state that the view shows.
    """

    def __init__(self, view: View, *, size: int | None, progress: RunProgress | None = None) -> None:
        self._view, self._size, self._progress = view, size, progress or RunProgress()
        self._bar = self._progress.start("predicting", total=size)
        self._bytes = self._inputs = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress while the block runs."""
        with self._view.open(self._progress):
            self._view.update(self._progress)
            yield

    def add_bytes(self, count: int) -> None:
        """Count bytes that were read."""
        self._bytes += count

    def add_input(self) -> None:
        """Count an input that was predicted."""
        self._inputs += 1
        progress = f"  {self._bytes / self._size:.0%} of the file" if self._size else ""
        self._bar.completed, self._bar.text = self._bytes, f"{self._inputs:,} inputs{progress}"
        self._view.update(self._progress)


class FilesProgress:
    """Progress of predicting files: rows, and rows per second.

    Args:
        view: shows it.
        on_predicting: is called before the model is loaded.
        progress: state that the view shows.

    Attributes:
        rows: number of rows that are predicted and saved.
        is_saved: whether the prediction has begun, so that an interrupted one continues.
    """

    def __init__(
        self, view: View, *, on_predicting: Callable[[], object] = lambda: None, progress: RunProgress | None = None
    ) -> None:
        self._view, self._on_predicting, self._progress = view, on_predicting, progress or RunProgress()
        self.rows, self.is_saved = 0, False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress while the block runs."""
        self._bar = self._progress.start("checking")
        with self._view.open(self._progress):
            self._view.update(self._progress)
            yield

    def show(self, progress: FileProgress) -> None:
        """Show the progress of a stage."""
        stage, rows, total = progress
        if stage != self._bar.label:
            self._start(stage, rows=rows, total=total)
        if stage == "predicting":
            self.rows, self.is_saved = rows, True
        bar, seconds = self._bar, self._progress.now() - self._bar.started
        rate = f"  {(rows - bar.first) / seconds:,.0f} rows/s" if seconds > 0 and rows > bar.first else ""
        bar.completed, bar.text = rows, f"{rows:,}{'' if total is None else f' of {total:,}'} rows{rate}"
        self._view.update(self._progress)

    def _start(self, stage: str, *, rows: int, total: int | None) -> None:
        self._progress.bars.clear()
        self._bar = self._progress.start(stage, total=total, completed=rows)
        if stage == "predicting":
            if rows:
                self._view.message(f"{rows:,} of {total:,} rows are predicted already")
            self._on_predicting()

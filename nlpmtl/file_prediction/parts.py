"""Parts of a batch prediction: one file per chunk of rows in the work directory, complete as soon as it is there."""

from __future__ import annotations

import time
from pathlib import Path

from nlpmtl.file_prediction.plan import Plan
from nlpmtl.file_prediction.progress import Report
from nlpmtl.file_prediction.row_files import CHUNK_ROWS

PARTS = "parts"
"""Directory of the parts in the work directory."""
_REFRESH_SECONDS = 1.0
"""Interval at which the parts of other ranks are counted."""


class Parts:
    """The parts of all files.

    Args:
        plan: the plan.
        work: the work directory.
    """

    def __init__(self, plan: Plan, work: Path) -> None:
        self._plan, self._directory = plan, work / PARTS

    @property
    def total(self) -> int:
        """Number of rows of all files."""
        return sum(file.rows for file in self._plan.files)

    def path(self, file: int, chunk: int) -> Path:
        """Return the part of a chunk of a file, by their indices."""
        return self._directory / f"{file:05d}-{chunk:08d}"

    def of_file(self, file: int) -> list[Path]:
        """Return the parts of a file, in order."""
        count = -(-self._plan.files[file].rows // CHUNK_ROWS)
        return [self.path(file, chunk) for chunk in range(count)]

    def count_rows(self) -> int:
        """Return the number of rows in the parts that are finished."""
        names = (path.name for path in self._directory.iterdir())
        finished = (name.partition("-") for name in names if not name.startswith("."))
        return sum(self.rows(int(file), int(chunk)) for file, _, chunk in finished)

    def rows(self, file: int, chunk: int) -> int:
        """Return the number of rows of a chunk."""
        return min(CHUNK_ROWS, self._plan.files[file].rows - chunk * CHUNK_ROWS)


class RowCounter:
    """Counts the rows in finished parts, and reports them.

    Args:
        parts: the parts.
        report: is called with the rows that are done, and all rows.
        shared: whether other ranks write parts too.
    """

    def __init__(self, parts: Parts, report: Report, *, shared: bool) -> None:
        self._parts, self._report, self._shared = parts, report, shared
        self._done, self._time = parts.count_rows(), time.monotonic()
        report(self._done, parts.total)

    def add(self, rows: int) -> None:
        """Count the rows of a part that was written."""
        self._done += rows
        if self._shared and time.monotonic() - self._time > _REFRESH_SECONDS:
            self._done, self._time = self._parts.count_rows(), time.monotonic()
        self._report(self._done, self._parts.total)

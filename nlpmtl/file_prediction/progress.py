"""Progress and result of a batch prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Stage = Literal["checking", "predicting", "writing"]


class FileProgress(NamedTuple):
    """Progress of a batch prediction.

    Args:
        stage: "checking" the rows before the model is loaded, "predicting", or "writing" the output.
        rows: number of rows that are done, on all ranks.
        total: number of rows; None while they are counted.
    """

    stage: Stage
    rows: int
    total: int | None


OnProgress = Callable[[FileProgress], object]
Report = Callable[[int, int | None], object]
"""Is called with the number of rows that are done, and that of all rows."""


@dataclass(frozen=True)
class PredictedFiles:
    """Result of a batch prediction.

    Args:
        paths: the files that were written.
        rows: number of rows in them.
        bad_rows: number of invalid rows among them, whose predictions are null.
        device: the device that predicted; None if no row was left to predict.
        notes: remarks for the user.
    """

    paths: tuple[Path, ...]
    rows: int
    bad_rows: int
    device: str | None = None
    notes: tuple[str, ...] = ()

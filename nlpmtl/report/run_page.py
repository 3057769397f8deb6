"""The page of a finished run, report.html: curves, scores with intervals, calibration and wrong predictions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlpmtl.prediction_analysis import MIN_ROWS, RESAMPLES, WrongRow
from nlpmtl.report.template import render

MAX_ROWS = 200
"""Maximum number of wrong rows of a task on the page."""
_MAX_TEXT = 1000
"""Maximum number of characters of a text on the page."""


@dataclass(frozen=True)
class Plot:
    """A plot as PNG, with its alternative text."""

    alt_text: str
    png: bytes

    @property
    def base64(self) -> str:
        """The PNG in base64."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Score:
    """A metric with its value and its confidence interval, formatted; empty without an interval."""

    metric: str
    value: str
    interval: str

    @classmethod
    def from_values(cls, metric: str, value: float | None, interval: tuple[float, float] | None) -> Score:
        """Format a metric."""
        shown = "undefined" if value is None else f"{value:.4f}"
        return cls(metric, shown, "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}")


@dataclass(frozen=True)
class _Row:
    """A wrong row on the page."""

    text: str
    pair: str | None
    gold: str
    predicted: str
    number: str
    sort_key: str
    place: str
    label_error: bool


@dataclass(frozen=True)
class WrongRows:
    """The wrong rows of a task on the page.

    Args:
        rows: at most 200 of them.
        summary: how many there are, and which are shown.
        measure: the heading of the number by which they are sorted.
        label_errors: number of rows with a likely label error.
    """

    rows: tuple[_Row, ...]
    summary: str
    measure: str
    label_errors: int

    @classmethod
    def from_rows(cls, wrong: Sequence[WrongRow], *, evaluated: int) -> WrongRows:
        """Select and format wrong rows, which are sorted; `evaluated` is the number of labelled rows."""
        if any(row.confidence is not None for row in wrong):
            measure = "confidence"
        else:
            measure = "difference" if any(row.severity for row in wrong) else ""
        flagged = sum(row.label_error or False for row in wrong)
        shown = wrong[:MAX_ROWS]
        summary = f"{len(wrong):,} of {evaluated:,} rows differ from their gold label."
        if len(shown) < len(wrong):
            summary += f" {len(shown)} are shown{measure and f', those with the highest {measure}'}."
        if flagged:
            summary += f" {flagged:,} of them may have a wrong gold label (confident learning): they come first."
        return cls(tuple(_format_row(row, measure) for row in shown), summary, measure, flagged)


def _format_row(row: WrongRow, measure: str) -> _Row:
    # A row whose only errors are missed spans has no confidence.
    number = row.confidence if measure == "confidence" else row.severity
    shown = "" if number is None else f"{number:.3f}" if measure == "confidence" else f"{number:.4g}"
    pair = None if row.pair is None else _shorten(row.pair)
    file = Path(row.place).name
    return _Row(
        text=_shorten(row.text),
        pair=pair,
        gold=_shorten(row.gold),
        predicted=_shorten(row.predicted),
        number=shown,
        sort_key="" if number is None else repr(number),
        place=file if file.startswith(f"{row.dataset}: ") else f"{row.dataset}: {file}",
        label_error=bool(row.label_error),
    )


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


@dataclass(frozen=True)
class TaskSection:
    """A task on the page.

    Args:
        name: its name.
        kind: its task type.
        rows: number of labelled rows, formatted.
        scores: its metrics.
        plots: plots of its predictions.
        calibration: a sentence about the effect of calibration; empty without.
        wrong: its wrong rows; None if they are not known.
    """

    name: str
    kind: str
    rows: str
    scores: Sequence[Score] = ()
    plots: Sequence[Plot] = ()
    calibration: str = ""
    wrong: WrongRows | None = None


@dataclass(frozen=True)
class RunPage:
    """Contents of report.html.

    Args:
        name: name of the run.
        summary: encoder and steps in a few words.
        mean: mean of the tasks' scores, formatted; None if nothing was evaluated.
        tasks: the evaluated tasks.
        training: plots of the training.
        notes: remarks on the data.
    """

    name: str
    summary: str
    mean: str | None
    tasks: Sequence[TaskSection]
    training: Sequence[Plot]
    notes: Sequence[str]


def render_run_page(page: RunPage) -> bytes:
    """Return report.html."""
    return render("run.html", report=page, resamples=RESAMPLES, min_rows=MIN_ROWS)

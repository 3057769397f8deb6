"""Progress of commands: events until the result, and prediction of a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nlpmtl.cli.progress import FilesProgress, PredictionProgress
from nlpmtl.evaluation import Scores
from nlpmtl.file_prediction import FileProgress
from nlpmtl.progress import PlainView, RunProgress, TerminalView, View, display_events
from nlpmtl.run import TrainResult
from nlpmtl.stages import StageProgress
from nlpmtl.training import EvaluationDone, TrainingStarted

RESULT = TrainResult(None, Path("model"), 40)
EVENTS: list[Any] = [
    TrainingStarted(total=40, step=10, notes=("3 bad rows were skipped",)),
    EvaluationDone(step=30, scores=Scores({}, 0.25), best=True),
    RESULT,
]


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_events_are_displayed_until_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(show: Any) -> list[Any]:
        show(StageProgress("tokenizing", 1, 1, seconds=75.0))
        return EVENTS

    assert display_events(start, ends=TrainResult) is RESULT
    first = capsys.readouterr()
    assert first.out == ""
    assert first.err.splitlines()[-2:] == ["step 30: mean 0.2500 (best)", "time: 1:15 min (tokenizing 1:15 min)"]
    monkeypatch.setenv("RANK", "1")
    assert display_events(start, ends=TrainResult) is RESULT
    assert capsys.readouterr() == ("", "")


def test_predictions_as_lines() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PredictionProgress(PlainView(lines.append), size=2000, progress=RunProgress(now=clock))
    with progress.open():
        for _ in range(40):
            clock.now += 0.6
            progress.add_bytes(50)
            progress.add_input()
    assert lines == ["17 inputs  42% of the file  14 s left", "34 inputs  85% of the file  3.6 s left"]


def test_no_lines_for_a_short_file() -> None:
    lines: list[str] = []
    progress = PredictionProgress(PlainView(lines.append), size=100)
    with progress.open():
        progress.add_bytes(100)
        progress.add_input()
    assert lines == []


def test_the_size_of_stdin_is_unknown() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PredictionProgress(PlainView(lines.append), size=None, progress=RunProgress(now=clock))
    with progress.open():
        clock.now = 11.0
        progress.add_input()
    assert lines == ["1 inputs"]


def test_a_bar_follows_the_bytes_that_were_read() -> None:
    screen = io.StringIO()
    view = TerminalView(Console(file=screen, force_terminal=True, width=100, markup=False, emoji=False))
    progress = PredictionProgress(view, size=200)
    with progress.open():
        progress.add_bytes(100)
        for _ in range(1234):
            progress.add_input()
    assert all(part in screen.getvalue() for part in ("predicting", "1,234 inputs", "50% of the file"))


def test_rows_of_files_per_second() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = FilesProgress(PlainView(lines.append), progress=RunProgress(now=clock))
    with progress.open():
        for seconds, step in (
            (11, FileProgress("checking", 4096, None)),
            (22, FileProgress("checking", 8192, None)),
            (22, FileProgress("predicting", 2048, 9000)),
            (42, FileProgress("predicting", 4096, 9000)),
            (43, FileProgress("writing", 9000, 9000)),
        ):
            clock.now = float(seconds)
            progress.show(step)
    assert lines == [
        "checking 4,096 rows  372 rows/s",
        "checking 8,192 rows  372 rows/s",
        "2,048 of 9,000 rows are predicted already",
        "4,096 of 9,000 rows  102 rows/s  48 s left",
    ]
    assert (progress.rows, progress.is_saved) == (4096, True)


def test_a_view_may_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PredictionProgress(View(), size=200)
    with progress.open():
        progress.add_bytes(100)
        progress.add_input()
    assert capsys.readouterr() == ("", "")

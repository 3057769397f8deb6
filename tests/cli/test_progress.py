"""Progress of runs and of predictions: plain lines, a bar, and nothing on other ranks."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from nlpmtl.cli.progress import (
    BarProgress,
    FilesProgress,
    PlainProgress,
    PredictionProgress,
    ProgressView,
    _duration,
    _show_event,
    display_events,
)
from nlpmtl.evaluation import Scores
from nlpmtl.file_prediction import FileProgress
from nlpmtl.run import Event, TrainingStarted, TrainResult
from nlpmtl.training import EvaluationDone, StepLogged

RESULT = TrainResult(None, Path("model"), 40)


def logged(step: int) -> StepLogged:
    return StepLogged({"step": step, "loss": 0.5, "tokens_per_second": 1234.5})


EVENTS: list[Event] = [
    TrainingStarted(total=40, step=10, notes=("3 bad rows were skipped",)),
    logged(20),
    logged(30),
    EvaluationDone(step=30, scores=Scores({}, 0.25), best=True),
    EvaluationDone(step=40, scores=Scores({"topic": {"score": 0.125}, "mood": {"score": None}}, 0.125), best=False),
]
EVALUATED = ["step 30: mean 0.2500 (best)", "step 40: mean 0.1250  topic 0.125  mood 0.000"]


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def bar(screen: io.StringIO) -> BarProgress:
    return BarProgress(Console(file=screen, force_terminal=True, width=100, markup=False, emoji=False, highlight=False))


def test_lines_come_at_most_every_ten_seconds() -> None:
    times = iter([100.0, 100.0, 105.0, 120.0])
    lines: list[str] = []
    view = PlainProgress(lines.append, now=lambda: next(times))
    for event in EVENTS:
        _show_event(view, event)
    assert lines == [
        "3 bad rows were skipped",
        "training: 40 steps, from step 10",
        "step 30/40  loss 0.5000  1,234 tokens/s  0:10 min left",
        *EVALUATED,
    ]


def test_a_bar() -> None:
    screen = io.StringIO()
    view = bar(screen)
    with view.open("loading"):
        for event in EVENTS[:4]:
            _show_event(view, event)
    output = screen.getvalue()
    assert all(part in output for part in ("training", "step 30/40", "loss 0.5000  1,234 tokens/s", EVALUATED[0]))


def test_events_are_displayed_until_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert display_events(iter([*EVENTS, RESULT]), ends=TrainResult) is RESULT
    first = capsys.readouterr()
    assert first.out == ""
    assert first.err.splitlines()[-2:] == EVALUATED
    monkeypatch.setenv("RANK", "1")
    assert display_events(iter([*EVENTS, RESULT]), ends=TrainResult) is RESULT
    assert capsys.readouterr() == ("", "")


def test_durations() -> None:
    assert [_duration(seconds) for seconds in (0.4, 75, 3599, 7500)] == ["0:00 min", "1:15 min", "59:59 min", "2:05 h"]


def test_predictions_as_lines() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PredictionProgress(PlainProgress(lines.append, now=clock), size=2000)
    with progress.open():
        for _ in range(40):
            clock.now += 0.6
            progress.add_bytes(50)
            progress.add_input()
    assert lines == ["17 inputs  42% of the file  0:14 min left", "34 inputs  85% of the file  0:04 min left"]


def test_no_lines_for_a_short_file() -> None:
    lines: list[str] = []
    progress = PredictionProgress(PlainProgress(lines.append), size=100)
    with progress.open():
        progress.add_bytes(100)
        progress.add_input()
    assert lines == []


def test_the_size_of_stdin_is_unknown() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = PredictionProgress(PlainProgress(lines.append, now=clock), size=None)
    with progress.open():
        clock.now = 11.0
        progress.add_input()
    assert lines == ["1 inputs"]


def test_a_bar_follows_the_bytes_that_were_read() -> None:
    screen = io.StringIO()
    progress = PredictionProgress(bar(screen), size=200)
    with progress.open():
        progress.add_bytes(100)
        for _ in range(1234):
            progress.add_input()
    assert all(part in screen.getvalue() for part in ("predicting", "1,234 inputs", "50% of the file"))


def test_rows_of_files_per_second() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = FilesProgress(PlainProgress(lines.append, now=clock), now=clock)
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
        "8,192 rows  372 rows/s",
        "2,048 of 9,000 rows are predicted already",
        "4,096 of 9,000 rows  102 rows/s  0:48 min left",
    ]
    assert (progress.rows, progress.is_saved) == (4096, True)


def test_a_view_may_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PredictionProgress(ProgressView(), size=200)
    with progress.open():
        progress.add_bytes(100)
        progress.add_input()
    assert capsys.readouterr() == ("", "")

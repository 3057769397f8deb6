"""Progress: lines now and then, a bar, and silence in all processes but the first."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from nlpmtl.cli.progress import Bar, Lines, _duration, display_events
from nlpmtl.evaluation import Scores
from nlpmtl.run import Event, TrainingStarted, TrainResult
from nlpmtl.training import EvaluationDone, StepLogged

RESULT = TrainResult(None, Path("model"), 40)


def progressed(step: int) -> StepLogged:
    return StepLogged({"step": step, "loss": 0.5, "tokens_per_second": 1234.5})


EVENTS: list[Event] = [
    TrainingStarted(total=40, step=10, notes=("3 bad rows were left out",)),
    progressed(20),
    progressed(30),
    EvaluationDone(step=30, scores=Scores({}, 0.25), best=True),
    EvaluationDone(step=40, scores=Scores({}, 0.125), best=False),
]
SCORED = ["step 30: mean score 0.2500, the best so far", "step 40: mean score 0.1250"]


def test_lines_come_at_most_every_ten_seconds() -> None:
    clock = iter([100.0, 105.0, 120.0])
    said: list[str] = []
    view = Lines(said.append, now=lambda: next(clock))
    for event in EVENTS:
        view.show(event)
    assert said == [
        "3 bad rows were left out",
        "training: 40 steps, from step 10 on",
        "step 30/40  loss 0.5000  1,234 tokens/s  0:10 min left",
        *SCORED,
    ]


def test_a_bar() -> None:
    drawn = io.StringIO()
    view = Bar(Console(file=drawn, force_terminal=True, width=100, markup=False, emoji=False, highlight=False))
    with view.open():
        for event in EVENTS[:3]:
            view.show(event)
        view.show(EVENTS[3])
    assert all(part in drawn.getvalue() for part in ("training", "30/40", "loss 0.5000  1,234 tokens/s", SCORED[0]))


def test_events_are_followed_to_the_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert display_events(iter([*EVENTS, RESULT]), ends=TrainResult) is RESULT
    first = capsys.readouterr()
    assert first.out == ""
    assert first.err.splitlines()[-2:] == SCORED
    monkeypatch.setenv("RANK", "1")
    assert display_events(iter([*EVENTS, RESULT]), ends=TrainResult) is RESULT
    assert capsys.readouterr() == ("", "")


def test_durations() -> None:
    assert [_duration(seconds) for seconds in (0.4, 75, 3599, 7500)] == ["0:00 min", "1:15 min", "59:59 min", "2:05 h"]

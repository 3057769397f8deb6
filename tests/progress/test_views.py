"""Views of a run: a live table on a terminal, HTML in a notebook, plain lines elsewhere, nothing on other ranks."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from nlpmtl.evaluation import Scores
from nlpmtl.notebook import in_kernel
from nlpmtl.progress import NotebookView, PlainView, RunProgress, TerminalView, View, display, progress_view
from nlpmtl.progress.views import STOPPING, STOPPING_IN_NOTEBOOK, to_html
from nlpmtl.stages import StageProgress, StopRequested
from nlpmtl.training import EvaluationDone, Message, StepLogged, TrainingStarted


def logged(step: int, **losses: float) -> StepLogged:
    return StepLogged({"step": step, "loss": 0.5, "tokens_per_second": 1234.5, "losses": losses})


def evaluated(step: int, topic: float, *, best: bool) -> EvaluationDone:
    return EvaluationDone(step, Scores({"topic": {"score": topic}, "mood": {"score": None}}, topic / 2), best)


EVENTS: list[Any] = [
    StageProgress("tokenizing", 0, 2),
    StageProgress("tokenizing", 2, 2, seconds=1.5),
    TrainingStarted(total=40, step=10, notes=("3 bad rows were skipped",), tasks=("topic", "mood")),
    logged(20, topic=0.75),
    StageProgress("evaluating", 0, 64),
    StageProgress("evaluating", 16, 64),
    StageProgress("evaluating", 64, 64, seconds=0.25),
    evaluated(20, 0.5, best=True),
    Message("trackers: failed"),
    logged(30, mood=0.25),
    evaluated(30, 0.25, best=False),
]
LINES = [
    "3 bad rows were skipped",
    "training: 40 steps, from step 10",
    "step 20: mean 0.2500 (best)  topic 0.500  mood 0.000",
    "trackers: failed",
    "step 30: mean 0.1250  topic 0.250  mood 0.000",
]
ROWS = [
    ("topic", "0.7500", "0.2500", "0.5000", "20"),
    ("mood", "0.2500", "", "", ""),
    ("mean", "", "0.1250", "0.2500", ""),
]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def state(events: list[Any] = EVENTS) -> RunProgress:
    progress = RunProgress(now=Clock())
    for event in events:
        list(progress.apply(event))
    return progress


def test_the_state_keeps_the_latest_loss_and_the_best_score_of_each_task() -> None:
    progress = state()
    assert list(progress.rows()) == ROWS
    assert progress.timings() == "time: 1.8 s (tokenizing 1.5 s, evaluating 0.2 s)"
    assert list(progress.bars) == ["training"]
    assert (progress.bars["training"].completed, progress.bars["training"].first) == (30, 10)


def test_a_second_run_starts_with_an_empty_table() -> None:
    progress = state([*EVENTS, TrainingStarted(total=5, step=0, notes=(), tasks=("mood",))])
    assert list(progress.rows()) == [("mood", "", "", "", "")]


def test_the_best_scores_of_a_resumed_run_are_those_of_the_whole_run() -> None:
    lines = [
        {"step": step, **evaluated(step, topic, best=True).scores.to_json()} for step, topic in ((5, 0.75), (9, 0.5))
    ]
    progress = state([TrainingStarted(total=20, step=10, notes=(), tasks=("topic", "mood"), evaluations=tuple(lines))])
    assert next(iter(progress.rows())) == ("topic", "", "0.5000", "0.7500", "5")
    list(progress.apply(evaluated(15, 0.625, best=False)))
    assert list(progress.rows()) == [
        ("topic", "", "0.6250", "0.7500", "5"),
        ("mood", "", "", "", ""),
        ("mean", "", "0.3125", "0.3750", ""),
    ]


def test_the_lines_that_stay() -> None:
    progress = RunProgress()
    assert [line for event in EVENTS for line in progress.apply(event)] == LINES


def test_plain_lines_come_at_most_every_ten_seconds() -> None:
    clock, lines = Clock(), list[str]()
    view, progress = PlainView(lines.append), RunProgress(now=clock)
    for event in EVENTS[2:6]:
        list(progress.apply(event))
        view.update(progress)
        clock.now += 6.0
    assert lines == ["evaluating 0 of 64"]
    list(progress.apply(EVENTS[6]))
    clock.now += 6.0
    view.update(progress)
    assert lines[1:] == ["step 20/40  loss 0.5000  1,234 tokens/s  1:00 min left"]


def test_the_table_and_the_bars_on_a_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=110, markup=False, emoji=False, highlight=False)
    with display(TerminalView(console)) as show:
        for event in EVENTS[:6]:
            show(event)
    output = screen.getvalue()
    shown = ("training", "step 20/40", "loss 0.5000  1,234 tokens/s", "evaluating", "16 of 64", "topic", "0.7500")
    assert [part for part in (*shown, *LINES[:2]) if part not in output] == []


def test_a_signal_is_acknowledged_on_a_terminal() -> None:
    screen = io.StringIO()
    with display(TerminalView(Console(file=screen, force_terminal=True, width=110))) as show:
        show(StopRequested(2))
    assert STOPPING in screen.getvalue()


def test_a_signal_is_acknowledged_in_plain_lines(capfd: pytest.CaptureFixture[str]) -> None:
    with display(PlainView(lambda line: None)) as show:
        show(StopRequested(2))
    assert capfd.readouterr().err == f"{STOPPING}\n"


def test_html_in_a_notebook(capfd: pytest.CaptureFixture[str]) -> None:
    pages: list[str] = []
    with display(NotebookView(pages.append)) as show:
        for event in [*EVENTS, StopRequested(2), TrainingStarted(total=5, step=0, notes=(), tasks=("<b>",))]:
            show(event)
    assert all(line in pages[-1] for line in (*LINES, "time: 1.8 s", STOPPING_IN_NOTEBOOK, "&lt;b&gt;"))
    assert capfd.readouterr().err == f"{STOPPING_IN_NOTEBOOK}\n"
    assert "<td>0.7500</td>" in to_html(state())
    assert '<progress value="30" max="40">' in to_html(state())


def test_without_a_kernel_lines_are_plain() -> None:
    assert not in_kernel()
    assert isinstance(progress_view(), PlainView)
    assert type(progress_view(visible=False)) is View
    assert "IPython" not in sys.modules


def test_other_ranks_show_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with display() as show:
        for event in [*EVENTS, StopRequested(2)]:
            show(event)
    assert capfd.readouterr() == ("", "")

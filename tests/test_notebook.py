"""nlpmtl in a Jupyter kernel: the progress of a run, an interrupted run, and commands in cells."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import pytest

from docs.tutorials.execute import execute
from nlpmtl.notebook import is_terminal
from nlpmtl.progress.views import STOPPING_IN_NOTEBOOK
from tests.tiny import make_rows, write_encoder, write_rows

RUN = """
import os, signal, threading, time
import nlpmtl

run = {
    "encoder": {"name": "encoder"},
    "datasets": {
        "messages": {
            "data": {"files": {"train": "rows.jsonl", "validation": "rows.jsonl"}},
            "input": {"text": "text"},
            "tasks": {
                "topic": {"kind": "classification", "label": "topic"},
                "grade": {"kind": "regression", "label": "grade"},
            },
        }
    },
    "train": {"steps": 4},
    "eval": {"every": 2},
}

def interrupt():
    metrics = "runs/long/metrics.jsonl"
    while not (os.path.exists(metrics) and os.path.getsize(metrics)):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

LONG = {"train": {"steps": 10**6, "save_every": 10**6}, "eval": {"every": 10**6}}
"""

TWICE = """
from nlpmtl.training import StopSignals

with StopSignals().installed():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.2)
"""


def test_a_terminal_of_a_cell_has_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "rb") as terminal, Path(os.devnull).open() as null:
        assert is_terminal(terminal)
        assert not is_terminal(null)
        monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        assert not is_terminal(terminal)
        monkeypatch.setenv("MPLBACKEND", "agg")
        monkeypatch.setenv("JPY_PARENT_PID", "1")
        assert not is_terminal(terminal)


def run_cells(directory: Path, *sources: str, errors: bool = False) -> list[list[dict[str, Any]]]:
    """Run cells in a kernel, and return the outputs of each."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    return [cell.outputs for cell in execute(notebook, directory, allow_errors=errors).cells]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_encoder(tmp_path / "encoder")
    write_rows(tmp_path / "rows.jsonl", make_rows(24))
    (tmp_path / "reviews.csv").write_text("text,mood\n" + "a small cat,good\nthe dog,bad\n" * 20, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_run_in_a_kernel(directory: Path) -> None:
    train, shown, scores, plot, predictor = run_cells(
        directory,
        f"{RUN}\nresult = nlpmtl.train(run, output='runs/short')",
        "result",
        "result.scores",
        "result.plot()",
        "result.predictor",
    )
    (table,) = train  # no bars of other libraries
    html = table["data"]["text/html"]
    assert table["output_type"] == "display_data"
    assert all(f"<tr><td>{name}</td>" in html for name in ("topic", "grade", "mean"))
    assert "training: 4 steps" in html
    assert "time: " in html
    assert "<progress" not in html
    assert shown[0]["data"]["text/plain"].startswith("TrainResult: runs/short/model")
    assert scores[0]["data"]["text/html"].startswith("<table>")
    assert "image/png" in plot[0]["data"]
    (representation,) = predictor
    assert "topic: classification" in representation["data"]["text/plain"]


@pytest.mark.slow
def test_an_interrupted_run_in_a_kernel(directory: Path) -> None:
    once, twice, after = run_cells(
        directory,
        f"{RUN}\nthreading.Thread(target=interrupt).start()\nnlpmtl.train(run, output='runs/long', **LONG)",
        TWICE,
        "1 + 1",
        errors=True,
    )
    display, acknowledged, error = once
    assert STOPPING_IN_NOTEBOOK in acknowledged["text"]
    assert STOPPING_IN_NOTEBOOK in display["data"]["text/html"]
    assert error["ename"] == "StoppedError"
    assert "resume=True" in error["evalue"]
    assert twice[-1]["ename"] == "KeyboardInterrupt"
    assert after[0]["data"]["text/plain"] == "2"


@pytest.mark.slow
def test_commands_in_cells(directory: Path) -> None:
    (init,) = run_cells(directory, "!nlpmtl init reviews.csv --encoder encoder && nlpmtl train run.toml")
    text = "".join(output["text"] for output in init)
    assert "Wrote reviews.toml, run.toml." in text  # nobody was asked
    assert "model: runs/reviews/model" in text
    assert "\x1b" not in text

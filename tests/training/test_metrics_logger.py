"""The log of steps and evaluations, also after a resume."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from nlpmtl.evaluation import Scores
from nlpmtl.training import MetricsLogger, StepReport, read_lines
from tests.tiny import metrics


def report(step: int) -> StepReport:
    """Report of a step with a summed loss of 5 over ten words of `a`, and without rows of `b`."""
    sums = torch.tensor([5.0, 0.0], dtype=torch.float64)
    return StepReport(
        step=step,
        loss_sums=sums,
        counts=[10, 0],
        loss_factors=[0.5, 0.0],
        weights={"a": 2.0},
        probabilities=(0.25, 0.75),
        tokens=120,
        lr=1e-4,
    )


def make_logger(directory: Path, accelerator: Accelerator) -> MetricsLogger:
    return MetricsLogger(accelerator, directory=directory, tasks=["a", "b"], total_steps=100)


def test_weights_and_probabilities_are_logged_if_they_change(tmp_path: Path, accelerator: Accelerator) -> None:
    logger = MetricsLogger(
        accelerator, directory=tmp_path, tasks=["a", "b"], datasets=["x", "y"], log_weights=True, total_steps=100
    )
    logger.log_step(report(1))
    line = logger.flush()
    assert line is not None
    assert line["weights"] == {"a": 2.0}
    assert line["sampling"] == {"x": 0.25, "y": 0.75}


def test_one_line_per_step(tmp_path: Path, accelerator: Accelerator) -> None:
    logger = make_logger(tmp_path, accelerator)
    results = [logger.log_step(report(step)) for step in range(1, 12)]
    assert [result is not None for result in results] == [False] * 9 + [True, False]
    assert len(metrics(tmp_path)) == 10
    newest = logger.flush()
    assert logger.flush() is None
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 12))
    assert lines[-1] == newest
    line = lines[0]
    assert set(line) == {"step", "loss", "losses", "lr", "tokens", "tokens_per_second", "seconds"}
    assert (line["loss"], line["losses"], line["lr"], line["tokens"]) == (0.25, {"a": 0.5}, 1e-4, 120)
    assert line["tokens_per_second"] * line["seconds"] == pytest.approx(120)
    assert line["seconds"] > 0


def test_a_resumed_run_truncates_the_log(tmp_path: Path, accelerator: Accelerator) -> None:
    logger = make_logger(tmp_path, accelerator)
    for step in range(1, 8):
        logger.log_step(report(step))
    logger.flush()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # killed while writing
    logger.truncate_after(4)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
    logger.truncate_after(10)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
    logger.truncate_after(0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_one_line_per_evaluation_truncated_on_resume(tmp_path: Path, accelerator: Accelerator) -> None:
    logger = make_logger(tmp_path, accelerator)
    logger.truncate_after(0)
    assert read_lines(tmp_path / "evaluations.jsonl") == []
    for step in (4, 8):
        logger.log_scores(Scores({"a": {"accuracy": 0.5, "score": 0.5, "rows": 9}}, 0.5), step=step)
    lines = read_lines(tmp_path / "evaluations.jsonl")
    assert [line["step"] for line in lines] == [4, 8]
    assert lines[0] == {"step": 4, "tasks": {"a": {"accuracy": 0.5, "score": 0.5, "rows": 9}}, "mean": 0.5}
    logger.truncate_after(5)
    assert read_lines(tmp_path / "evaluations.jsonl") == lines[:1]


def test_an_incomplete_line_is_removed(tmp_path: Path, accelerator: Accelerator) -> None:
    full = json.dumps({"step": 1})
    (tmp_path / "metrics.jsonl").write_text(f'{full}\n{{"step": 2, "lo')
    make_logger(tmp_path, accelerator).truncate_after(5)
    assert (tmp_path / "metrics.jsonl").read_text() == f"{full}\n"


def test_a_weight_that_is_not_finite_is_null(tmp_path: Path, accelerator: Accelerator) -> None:
    logger = MetricsLogger(accelerator, directory=tmp_path, tasks=["a", "b"], log_weights=True, total_steps=100)
    logger.log_step(replace(report(1), weights={"a": math.nan, "b": math.inf}, loss_sums=torch.tensor([math.inf, 0.0])))
    line = logger.flush()
    logger.log_scores(Scores({"a": {"accuracy": math.nan, "score": 0.5, "rows": 9}}, math.nan), step=1)
    assert line is not None
    assert line["weights"] == {"a": None, "b": None}
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        text = (tmp_path / name).read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
    assert metrics(tmp_path)[0]["losses"] == {"a": None}
    assert read_lines(tmp_path / "evaluations.jsonl")[0]["mean"] is None

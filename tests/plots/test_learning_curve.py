"""Plot of losses and scores over steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.plots.learning_curve import learning_curve

METRICS = [{"step": step, "losses": {"a": 2.0 / step, **({"b": 1.0} if step % 2 else {})}} for step in range(1, 9)]
SCORES: list[dict[str, Any]] = [
    {"step": step, "tasks": {"a": {"score": step / 10}, "b": {"score": 0.5}}, "mean": 0.25 + step / 20}
    for step in (4, 8)
]


def test_losses_and_scores() -> None:
    upper, lower = learning_curve(METRICS, SCORES, tasks=["a", "b"], step=4).axes
    lines = {line.get_label(): line for line in upper.lines}
    assert np.asarray(lines["a"].get_xydata()).tolist() == [[step, pytest.approx(2.0 / step)] for step in range(1, 9)]
    assert np.asarray(lines["b"].get_xdata()).tolist() == [1, 3, 5, 7]
    assert np.asarray(lines["selected: step 4"].get_xdata()).tolist() == [4, 4]
    scores = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in lower.lines}
    assert scores["a"] == [0.4, 0.8]
    assert scores["mean of tasks"] == pytest.approx([0.45, 0.65])


def test_losses_without_scores() -> None:
    (axes,) = learning_curve(METRICS, [], tasks=["a", "b"], step=8).axes
    assert axes.get_xlabel() == "step"


def test_a_long_run_is_smoothed_and_downsampled() -> None:
    metrics = [{"step": step, "losses": {"a": float(step % 2) + 1}} for step in range(1, 4001)]
    (axes,) = learning_curve(metrics, [], tasks=["a"], step=4000).axes
    line = np.asarray(axes.lines[0].get_xydata())
    assert len(line) == 300
    assert line[-1, 0] == 4000
    np.testing.assert_allclose(line[:, 1], 1.5, err_msg="the mean of 200 steps")


def test_many_tasks_have_distinct_line_styles() -> None:
    names = [f"t{i}" for i in range(24)]
    metrics = [{"step": 1, "losses": dict.fromkeys(names, 1.0)}]
    (axes,) = learning_curve(metrics, [], tasks=names, step=1).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines[:24]}) == 24

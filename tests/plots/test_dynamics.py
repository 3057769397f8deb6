"""Plot of sampling probabilities and task weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.plots import describe_dynamics, draw_dynamics
from nlpmtl.plots.dynamics import training_dynamics

METRICS: list[dict[str, Any]] = [
    {
        "step": step,
        "sampling": {"x": step / 10, "y": 1 - step / 10},
        "weights": {"a": 1.0, **({"b": 2.0} if step % 2 else {})},
    }
    for step in range(1, 9)
]


def test_panels_for_sampling_and_weights() -> None:
    upper, lower = training_dynamics(METRICS).axes
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in (*upper.lines, *lower.lines)}
    assert lines["x"][:, 1].tolist() == pytest.approx([step / 10 for step in range(1, 9)])
    assert lines["b"].tolist() == [[1, 2.0], [3, 2.0], [5, 2.0], [7, 2.0]]
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("probability", "weight")


def test_only_logged_values_are_drawn() -> None:
    (panel,) = training_dynamics([{"step": line["step"], "weights": line["weights"]} for line in METRICS]).axes
    assert panel.get_title(loc="left") == "Loss weight"
    assert draw_dynamics([{"step": 1, "losses": {}}]) is None
    assert (draw_dynamics(METRICS) or b"").startswith(b"\x89PNG")


def test_a_long_run_is_smoothed() -> None:
    (panel,) = training_dynamics([{"step": step, "sampling": {"x": float(step % 2)}} for step in range(1, 4001)]).axes
    np.testing.assert_allclose(np.asarray(panel.lines[0].get_ydata()), 0.5)


def test_alt_text() -> None:
    assert describe_dynamics(METRICS) == (
        "Training dynamics over 8 steps. At the last step: sampling probabilities, x 0.8, y 0.2; loss weights, a 1."
    )

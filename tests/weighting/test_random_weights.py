"""Random Loss Weighting (Lin et al., 2022)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.weighting.observations import TASKS, build, seen


def test_random_weights_sum_to_the_number_of_tasks_and_change() -> None:
    ours, losses = build("random"), dict.fromkeys(TASKS, 1.0)
    drawn = [ours.compute_weights(seen(losses, step=step)) for step in range(50)]
    assert all(sum(weights.values()) == pytest.approx(3) for weights in drawn)
    assert len({weights["a"] for weights in drawn}) == 50
    assert build("random").compute_weights(seen(losses, step=7)) == drawn[7]


def test_random_weights_are_a_softmax_of_normal_samples() -> None:
    ours, losses = build("random"), dict.fromkeys(TASKS, 1.0)
    logs = np.log([list(ours.compute_weights(seen(losses, step=step)).values()) for step in range(4_000)])
    log_ratio = (logs[:, 0] - logs[:, 1]) / np.sqrt(2)
    assert abs(log_ratio.mean()) < 0.06
    assert log_ratio.std() == pytest.approx(1.0, abs=0.04)

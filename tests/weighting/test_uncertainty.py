"""Uncertainty weighting (Kendall et al., 2018), compared with TorchJD."""

from __future__ import annotations

import pytest
import torch
from torchjd.scalarization import UW

from tests.weighting.observations import TASKS, build, random_losses, seen


def test_updates_descend_torchjds_loss() -> None:
    """Equal fractions, half the rate and twice the loss give the same numbers."""
    ours, theirs = build("uncertainty", lr=0.3), UW(len(TASKS)).double()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.3 * 2 / len(TASKS))
    for losses in random_losses(20):
        weights = ours.compute_weights(seen(losses))
        optimizer.zero_grad()
        values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
        theirs(values).backward()
        assert values.grad is not None
        assert list(weights.values()) == pytest.approx((2 * values.grad).tolist(), rel=1e-12)
        optimizer.step()
        ours.update(seen(losses), losses=losses, post_step_losses={})
    assert [ours.state[task] for task in TASKS] == pytest.approx(theirs.log_var.tolist(), rel=1e-9)


def test_weights_converge_to_the_inverse_loss() -> None:
    """The minimum of exp(−s) L + s is at the weight 1 / L."""
    ours, losses = build("uncertainty", lr=0.5), {"a": 0.25, "b": 1.0, "c": 4.0}
    for _ in range(500):
        ours.update(seen(losses), losses=losses, post_step_losses={})
    assert ours.compute_weights(seen(losses)) == pytest.approx({"a": 4.0, "b": 1.0, "c": 0.25}, rel=1e-6)


def test_a_task_without_rows_is_unchanged() -> None:
    ours = build("uncertainty")
    ours.update(seen({"a": 3.0}), losses={"a": 3.0}, post_step_losses={})
    assert ours.compute_weights(seen({"a": 1.0, "b": 1.0}))["b"] == 1.0

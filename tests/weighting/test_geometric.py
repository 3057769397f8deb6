"""Geometric Loss Strategy (Chennupati et al., 2019), compared with TorchJD."""

from __future__ import annotations

import pytest
import torch
from torchjd.scalarization import GeometricMean

from tests.weighting.observations import TASKS, build, random_losses, seen


def test_equal_fractions_give_torchjds_gradient() -> None:
    for losses in random_losses(10):
        values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
        GeometricMean()(values).backward()
        assert values.grad is not None
        weights = build("geometric").compute_weights(seen(losses))
        assert [w / len(TASKS) for w in weights.values()] == pytest.approx(values.grad.tolist(), rel=1e-9)


def test_it_is_the_gradient_of_the_weighted_geometric_mean() -> None:
    fractions = {"a": 0.5, "b": 0.375, "c": 0.125}
    losses = {"a": 0.3, "b": 1000.0, "c": 2.0}
    values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
    (values ** torch.tensor(list(fractions.values()), dtype=torch.float64)).prod().backward()
    assert values.grad is not None
    weights = build("geometric").compute_weights(seen(losses, label_fractions=fractions))
    assert [weights[task] * fractions[task] for task in TASKS] == pytest.approx(values.grad.tolist(), rel=1e-9)


def test_a_loss_of_0_has_a_finite_weight() -> None:
    assert build("geometric").compute_weights(seen({"a": 0.0, "b": 1.0}))["a"] < 1e7

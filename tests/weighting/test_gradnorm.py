"""GradNorm (Chen et al., 2018), compared with its equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.weighting.observations import TASKS, build, random_losses, seen


def test_weights_follow_the_papers_gradient() -> None:
    """Equation 2 by autograd with a constant target; then scaled to sum to the number of tasks."""
    source = np.random.default_rng(0)
    ours, expected = build("gradnorm", alpha=1.5, lr=0.05), torch.ones(3, dtype=torch.float64)
    first: torch.Tensor | None = None
    for losses in random_losses(15):
        jacobian = source.standard_normal((3, 7))  # of the mean losses
        observation = seen(losses, jacobian=jacobian / 3)  # of fractions · mean losses
        assert list(ours.compute_weights(observation).values()) == pytest.approx(expected.tolist(), rel=1e-9)
        ours.update(observation, losses=losses, post_step_losses={})
        values = torch.tensor(list(losses.values()), dtype=torch.float64)
        first = values if first is None else first
        w = expected.clone().requires_grad_()
        norms = w * torch.from_numpy(np.linalg.norm(jacobian, axis=1))
        rates = (values / first) / (values / first).mean()
        (norms - (norms.mean() * rates**1.5).detach()).abs().sum().backward()
        assert w.grad is not None
        moved = (expected - 0.05 * w.grad).clamp(min=1e-3)
        expected = 3 * moved / moved.sum()


def test_a_task_with_a_large_gradient_gets_less_weight() -> None:
    ours, losses = build("gradnorm", alpha=0.0), dict.fromkeys(TASKS, 1.0)
    jacobian = np.diag([10.0, 1.0, 1.0])
    for _ in range(20):
        ours.update(seen(losses, jacobian=jacobian), losses=losses, post_step_losses={})
    weights = ours.compute_weights(seen(losses, jacobian=jacobian))
    assert weights["a"] < 0.5 < 1.0 < weights["b"]
    assert sum(weights.values()) == pytest.approx(3)

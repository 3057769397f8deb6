"""FAMO (Liu et al., 2023), compared with TorchJD."""

from __future__ import annotations

import pytest
import torch
from torchjd.scalarization import FAMO

from tests.weighting.observations import TASKS, build, random_losses, seen


def test_weights_equal_torchjd() -> None:
    ours, theirs = build("famo"), FAMO(len(TASKS)).double()
    afters = random_losses(30, seed=1)
    for losses, after in zip(random_losses(30), afters, strict=True):
        values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
        theirs(values).backward()
        assert values.grad is not None
        weights = ours.compute_weights(seen(losses))
        assert list(weights.values()) == pytest.approx((len(TASKS) * values.grad).tolist(), rel=1e-8)
        theirs.update(torch.tensor(list(after.values()), dtype=torch.float64))
        ours.update(seen(losses), losses=losses, post_step_losses=after)
    xi = torch.tensor([ours.state[task][0] for task in TASKS])
    assert float(xi.abs().max()) > 0.1, "the weights have changed"


def test_tasks_with_slower_progress_get_more_weight() -> None:
    ours = build("famo", tasks=["a", "b"])
    for _ in range(5):
        losses = {"a": 1.0, "b": 1.0}
        ours.update(seen(losses), losses=losses, post_step_losses={"a": 0.5, "b": 0.99})
    weights = ours.compute_weights(seen(losses))
    assert weights["b"] > 1.05 > 0.95 > weights["a"]


def test_the_scale_of_a_loss_does_not_matter() -> None:
    """The direction is that of gradients of log losses."""
    weights = build("famo").compute_weights(seen({"a": 1.0, "b": 2.0, "c": 3.0}))
    other = build("famo").compute_weights(seen({"a": 1000.0, "b": 2.0, "c": 3.0}))
    parts = [w["b"] * 2.0 / (w["a"] * loss) for w, loss in ((weights, 1.0), (other, 1000.0))]
    assert parts == pytest.approx([1.0, 1.0], rel=1e-6)

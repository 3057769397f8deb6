"""Loss normalisation by a moving average."""

from __future__ import annotations

import pytest

from tests.weighting.observations import build, seen


def test_losses_of_1000_and_1_count_equally() -> None:
    ours, losses = build("scale"), {"a": 1000.0, "b": 1.0}
    assert ours.compute_weights(seen(losses)) == {"a": 1.0, "b": 1.0}
    ours.update(seen(losses), losses=losses, post_step_losses={})
    weights = ours.compute_weights(seen(losses))
    assert {task: weights[task] * losses[task] for task in losses} == pytest.approx({"a": 1.0, "b": 1.0})


def test_the_average_follows_the_loss() -> None:
    ours = build("scale", ema_decay=0.5)
    for loss in (4.0, 2.0, 1.0):
        ours.update(seen({"a": loss}), losses={"a": loss}, post_step_losses={})
    assert ours.compute_weights(seen({"a": 1.0}))["a"] == pytest.approx(1 / 2.0)


def test_a_loss_near_0_has_a_bounded_weight() -> None:
    ours = build("scale", ema_decay=0.0)
    for loss in (2.0, 0.0):
        ours.update(seen({"a": loss}), losses={"a": loss}, post_step_losses={})
    assert ours.compute_weights(seen({"a": 0.0}))["a"] == pytest.approx(500)


def test_a_loss_that_is_always_0_has_weight_1() -> None:
    ours = build("scale")
    ours.update(seen({"a": 0.0}), losses={"a": 0.0}, post_step_losses={})
    assert ours.compute_weights(seen({"a": 0.0}))["a"] == 1.0

"""Non-finite, zero, negative and huge losses: a single one does not destroy the weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import GradientMethod, Weighting
from tests.weighting.observations import TASKS, build, random_losses, seen

LEARNING = [n for n in WEIGHTINGS.names() if not issubclass(WEIGHTINGS.get(n), GradientMethod)]
NOT_FINITE = [math.nan, math.inf, -math.inf]
ODD = [*NOT_FINITE, 0.0, -0.0, -3.0, 1e30, 1e300, 1.7e308, 5e-324]


def step(weighting: Weighting, losses: dict[str, float], after: dict[str, float], *, number: int) -> dict[str, float]:
    """Compute weights and update for one step, with gradients proportional to the losses."""
    jacobian = np.random.default_rng(number).standard_normal((len(losses), 5))
    observation = seen(losses, step=number, jacobian=jacobian)
    weights = weighting.compute_weights(observation)
    weighting.update(observation, losses=losses, post_step_losses=after)
    return weights


def play(
    weighting: Weighting, *, odd: float | None, where: str, odd_step: int = 5, steps: int = 40
) -> list[dict[str, float]]:
    """Return the weights of all steps except that of the odd loss."""
    history = []
    for number, losses in enumerate(random_losses(steps)):
        after = {task: 0.9 * loss for task, loss in losses.items()}
        if odd is not None and number == odd_step:
            (losses if where == "before" else after)["b"] = odd
        weights = step(weighting, losses, after, number=number)
        if number != odd_step or odd is None or math.isfinite(odd):
            history.append(weights)
    return history


@pytest.mark.parametrize("odd_step", [0, 5])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", LEARNING)
def test_all_weights_stay_finite(kind: str, odd: float, where: str, odd_step: int) -> None:
    weighting = build(kind)
    for weights in play(weighting, odd=odd, where=where, odd_step=odd_step):
        assert all(math.isfinite(weight) and weight >= 0 for weight in weights.values()), weights
    json.dumps(weighting.state, allow_nan=False)


@pytest.mark.parametrize("odd", NOT_FINITE)
@pytest.mark.parametrize(("kind", "where"), [("famo", "before"), ("famo", "after"), ("gradnorm", "before")])
def test_a_step_with_a_non_finite_loss_leaves_the_state_unchanged(kind: str, where: str, odd: float) -> None:
    weighting = build(kind)
    play(weighting, odd=None, where=where, steps=6)
    before = json.loads(json.dumps(weighting.state))
    losses = dict.fromkeys(TASKS, 1.0)
    after = dict(losses)
    (losses if where == "before" else after)["b"] = odd
    step(weighting, losses, after, number=6)
    assert weighting.state == before


@pytest.mark.parametrize("kind", ["uncertainty", "scale"])
def test_a_single_huge_loss_is_forgotten(kind: str) -> None:
    """After 200 steps, the weights are close to those of a run without it."""
    odd, plain = ([*play(build(kind), odd=value, where="before", steps=240)][-1] for value in (1e30, None))
    assert odd == pytest.approx(plain, rel=0.3)


def test_tasks_keep_adapting_when_another_loss_is_not_finite() -> None:
    for kind in ("scale", "uncertainty"):
        weighting = build(kind)
        losses = {"a": 3.0, "b": math.nan, "c": 0.5}
        step(weighting, losses, losses, number=0)
        assert "a" in weighting.state
        assert "b" not in weighting.state

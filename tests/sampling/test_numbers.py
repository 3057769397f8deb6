"""Non-finite, zero, negative and huge losses: adaptive samplers keep drawing from every dataset."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from nlpmtl.sampling import AdaptiveSampler, Feedback, Sampler

ADAPTIVE = ["exp3", "loss_ratio", "uncertainty"]
ODD = [math.nan, math.inf, -math.inf, 0.0, -3.0, 1e30, 1e300, 5e-324]


def play(
    sampler: AdaptiveSampler, *, odd: float | None, steps: int = 30, odd_step: int = 12
) -> list[tuple[float, ...]]:
    """Return the probabilities of each step."""
    state, source, history = sampler.initial_state(), np.random.default_rng(0), []
    for step in range(steps):
        losses = dict(zip("ab", source.uniform(0.5, 2.0, 2).tolist(), strict=True))
        entropies = dict(zip("ab", source.uniform(0.2, 1.0, 2).tolist(), strict=True))
        if odd is not None and step == odd_step:
            losses["b"] = entropies["b"] = odd
        state = json.loads(json.dumps(sampler.update(state, Feedback((4, 4), losses, entropies)), allow_nan=False))
        history.append(sampler.probabilities_after(step + 1, state))
    return history


@pytest.fixture(params=ADAPTIVE)
def sampler(request: pytest.FixtureRequest, build: Callable[..., Sampler]) -> AdaptiveSampler:
    adaptive = build(request.param, (9, 9), names=("x", "y"), tasks=(("a",), ("b",)))
    assert isinstance(adaptive, AdaptiveSampler)
    return adaptive


@pytest.mark.parametrize("odd_step", [0, 12])
@pytest.mark.parametrize("odd", ODD)
def test_probabilities_stay_probabilities(sampler: AdaptiveSampler, odd: float, odd_step: int) -> None:
    for probabilities in play(sampler, odd=odd, odd_step=odd_step):
        assert sum(probabilities) == pytest.approx(1.0)
        assert min(probabilities) > 0


@pytest.mark.parametrize("odd", [math.nan, math.inf, 1e30])
def test_a_single_odd_loss_is_forgotten(build: Callable[..., Sampler], odd: float) -> None:
    sampler = build("loss_ratio", (9, 9), names=("x", "y"), tasks=(("a",), ("b",)))
    assert isinstance(sampler, AdaptiveSampler)
    after, plain = (play(sampler, odd=value, steps=240)[-1] for value in (odd, None))
    assert after == pytest.approx(plain, rel=0.1)


def test_a_low_temperature_does_not_overflow(build: Callable[..., Sampler]) -> None:
    sampler = build("loss_ratio", (9, 9), names=("x", "y"), tasks=(("a",), ("b",)), temperature=1e-3)
    assert isinstance(sampler, AdaptiveSampler)
    state = {"first": {"a": 1.0, "b": 1.0}, "seen": {"a": 10, "b": 10}, "now": {"a": 4.0, "b": 2.0}}
    assert sampler.probabilities_after(1, state) == pytest.approx((0.95, 0.05))

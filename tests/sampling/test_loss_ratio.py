"""Sampling by inverse training rate, by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from nlpmtl.sampling import AdaptiveSampler, Feedback, Sampler

Build = Callable[..., AdaptiveSampler]


def feedback(losses: Mapping[str, float], rows: tuple[int, ...] = (16, 16)) -> Feedback:
    return Feedback(rows_per_dataset=rows, losses=losses, uncertainties={})


@pytest.fixture
def sampler(build: Callable[..., Sampler]) -> AdaptiveSampler:
    loss_ratio = build(
        "loss_ratio", (100, 10), ema_decay=0.0, epsilon=0.2, names=("x", "y"), tasks=(("a", "b"), ("c",))
    )
    assert isinstance(loss_ratio, AdaptiveSampler)
    return loss_ratio


def test_by_hand(sampler: AdaptiveSampler) -> None:
    state = sampler.update(sampler.initial_state(), feedback({"a": 2.0, "b": 10.0, "c": 4.0}))
    assert sampler.probabilities_after(1, state) == pytest.approx((0.5, 0.5)), "no loss has changed"
    for _ in range(9):
        state = sampler.update(state, feedback({"a": 2.0, "b": 10.0, "c": 4.0}))
    state = sampler.update(state, feedback({"a": 1.0, "b": 10.0, "c": 1.0}))
    ratios = (0.5 + 1.0) / 2, 0.25
    expected = [0.8 * ratio / sum(ratios) + 0.1 for ratio in ratios]
    assert sampler.probabilities_after(11, state) == pytest.approx(expected)


def test_a_temperature_flattens(build: Callable[..., Sampler]) -> None:
    hot = build("loss_ratio", (1, 1), temperature=2.0, epsilon=1e-9, names=("x", "y"), tasks=(("a",), ("b",)))
    assert isinstance(hot, AdaptiveSampler)
    state = {"first": {"a": 1.0, "b": 1.0}, "seen": {"a": 10, "b": 10}, "now": {"a": 0.25, "b": 1.0}}
    assert hot.probabilities_after(1, state) == pytest.approx((1 / 3, 2 / 3))


def test_an_update_does_not_modify_the_previous_state(sampler: AdaptiveSampler) -> None:
    before = sampler.update(sampler.initial_state(), feedback({"a": 2.0}))
    copy = {key: dict(value) for key, value in before.items()}
    sampler.update(before, feedback({"a": 1.0, "c": 1.0}))
    assert before == copy


def test_losses_of_0_give_valid_probabilities(sampler: AdaptiveSampler) -> None:
    state = sampler.initial_state()
    for _ in range(20):
        state = sampler.update(state, feedback({"a": 0.0, "b": 0.0, "c": 0.0}))
    assert sum(sampler.probabilities_after(20, state)) == pytest.approx(1)

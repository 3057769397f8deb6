"""Sampling by uncertainty, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nlpmtl.sampling import AdaptiveSampler, Feedback, Sampler


@pytest.fixture
def sampler(build: Callable[..., Sampler]) -> AdaptiveSampler:
    tasks = (("a", "b"), ("c",), ("number",))
    uncertainty = build("uncertainty", (9, 9, 9), ema_decay=0.5, epsilon=0.1, names=("x", "y", "z"), tasks=tasks)
    assert isinstance(uncertainty, AdaptiveSampler)
    assert uncertainty.needs_uncertainties
    return uncertainty


def shown(**uncertainties: float) -> Feedback:
    return Feedback(rows_per_dataset=(1, 1, 1), losses={}, uncertainties=uncertainties)


def test_by_hand(sampler: AdaptiveSampler) -> None:
    state = sampler.update(sampler.initial_state(), shown(a=0.2, b=0.6, c=0.8))
    state = sampler.update(state, shown(c=0.4))
    entropies = [0.4, 0.6, (0.4 + 0.6) / 2]  # the last has no entropy: the mean of the others
    expected = [0.9 * entropy / sum(entropies) + 0.1 / 3 for entropy in entropies]
    assert sampler.probabilities_after(2, state) == pytest.approx(expected)


def test_probabilities_are_uniform_at_first(sampler: AdaptiveSampler) -> None:
    assert sampler.probabilities(0) == pytest.approx((1 / 3,) * 3)


def test_zero_entropies_give_valid_probabilities(sampler: AdaptiveSampler) -> None:
    state = sampler.update(sampler.initial_state(), shown(a=0.0, b=0.0, c=0.0))
    assert sampler.probabilities_after(1, state) == pytest.approx((1 / 3,) * 3)

"""EXP3 sampling (Auer et al., 2002), by hand for one update."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from nlpmtl.sampling import AdaptiveSampler, Feedback, Sampler


@pytest.fixture
def sampler(build: Callable[..., Sampler]) -> AdaptiveSampler:
    exp3 = build("exp3", (9, 9), gamma=0.2, names=("x", "y"), tasks=(("a",), ("b",)))
    assert isinstance(exp3, AdaptiveSampler)
    return exp3


def test_one_update_of_figure_1(sampler: AdaptiveSampler) -> None:
    """All rows of a step from one dataset, as in the paper."""
    state = sampler.update(sampler.initial_state(), Feedback((8, 0), {"a": 2.0}, {}))
    assert sampler.probabilities_after(1, state) == pytest.approx((0.5, 0.5)), "a first loss has no gain"
    state = sampler.update(state, Feedback((8, 0), {"a": 1.0}, {}))
    grown = math.exp(0.2 / 2 * 0.5 / 0.5)  # a reward of 1/2: there is no other gain to compare with
    expected = [0.8 * weight / (grown + 1) + 0.1 for weight in (grown, 1.0)]
    assert sampler.probabilities_after(2, state) == pytest.approx(expected)


def test_mixed_rewards_are_weighted_by_the_share_of_rows(sampler: AdaptiveSampler) -> None:
    state = {"log_weights": [0.0, 0.0], "losses": {"a": 2.0, "b": 2.0}, "gains": [0.0, 1.0] * 9}
    after = sampler.update(state, Feedback((6, 2), {"a": 1.0, "b": 1.5}, {}))
    first, second = (0.2 / 2 * gain / 0.5 * share for gain, share in ((0.5, 0.75), (0.25, 0.25)))
    assert after["log_weights"] == pytest.approx([0.0, second - first])
    assert after["gains"][-2:] == [0.5, 0.25]


def test_datasets_with_higher_reward_are_drawn_more_often(sampler: AdaptiveSampler) -> None:
    state, source, loss = sampler.initial_state(), np.random.default_rng(0), 8.0
    for _ in range(300):
        p = sampler.probabilities_after(0, state)
        if source.random() < p[0]:
            loss *= 0.9
            state = sampler.update(state, Feedback((8, 0), {"a": loss}, {}))
        else:
            state = sampler.update(state, Feedback((0, 8), {"b": 1.0}, {}))
    assert len(state["gains"]) == 100
    assert 0.7 < sampler.probabilities_after(0, state)[0] <= 0.9, "the other dataset keeps a minimum probability"


def test_weights_neither_overflow_nor_vanish(sampler: AdaptiveSampler) -> None:
    state = {"log_weights": [0.0, -5_000.0], "losses": {"a": 1.0, "b": 1.0}, "gains": []}
    assert sampler.probabilities_after(0, state) == pytest.approx((0.9, 0.1))

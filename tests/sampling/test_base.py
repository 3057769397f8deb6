"""Low-discrepancy draws from probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.sampling import Sampler
from nlpmtl.sampling.base import GOLDEN, normalize, normalize_power

WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=12).filter(any)
SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Fixed(Sampler):
    weights: tuple[float, ...]

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize(self.weights)


def fixed(weights: list[float], *, seed: int) -> Fixed:
    sizes = [1] * len(weights)
    return Fixed(weights=tuple(weights), sizes=sizes, total_steps=1, epoch_steps=1, rows_per_step=1, seed=seed)


def test_golden_is_floor_of_2_64_over_phi() -> None:
    assert (math.isqrt(5 * 2**128) - 2**64) // 2 == GOLDEN  # 1/φ = (√5 − 1) / 2


@settings(deadline=None)
@given(WEIGHTS, SEEDS, st.integers(0, 2**40))
def test_counts_stay_close_to_the_probabilities(weights: list[float], seed: int, first: int) -> None:
    picks = fixed(weights, seed=seed).draw(first, 1_000, step=0)
    for index, weight in enumerate(weights):
        assert picks.count(index) == pytest.approx(1_000 * weight / sum(weights), abs=5)
        assert weight or index not in picks


@settings(deadline=None)
@given(WEIGHTS, SEEDS, st.integers(0, 2**40), st.integers(0, 60))
def test_a_draw_depends_only_on_its_number(weights: list[float], seed: int, first: int, cut: int) -> None:
    sampler = fixed(weights, seed=seed)
    full = sampler.draw(first, 60, step=0)
    assert sampler.draw(first + cut, 60 - cut, step=0) == full[cut:]
    assert fixed(weights, seed=seed).draw(first, cut, step=0) == full[:cut]


@settings(deadline=None)
@given(SEEDS)
def test_the_recurrence(seed: int) -> None:
    """With 1,024 equal intervals, draws are the ten leading bits of the points."""
    picks = fixed([1.0] * 1_024, seed=seed).draw(0, 300, step=0)
    turn = Fraction(GOLDEN, 2**64)
    for number, pick in enumerate(picks):
        ahead = (Fraction(pick - picks[0], 1_024) - number * turn) % 1
        assert min(ahead, 1 - ahead) < Fraction(1, 1_024)


@pytest.mark.parametrize(("point", "index"), [(0, 1), (2**63, 2), (2**64 - 1, 3)])
def test_draws_at_the_ends_of_the_range(point: int, index: int) -> None:
    """Thirds do not sum to 2^64 in integers, and the empty intervals are at both ends."""
    sampler = fixed([0.0, 1.0, 1.0, 1.0, 0.0], seed=17)
    pick = (point - sampler._start) * pow(GOLDEN, -1, 2**64) % 2**64
    assert sampler.draw(pick, 1, step=0) == [index]


def test_the_seed_moves_the_start() -> None:
    picks = {tuple(fixed([1.0] * 64, seed=seed).draw(0, 20, step=0)) for seed in range(20)}
    assert len(picks) > 15


def test_draws_are_stable_between_versions() -> None:
    assert fixed([1, 2, 3], seed=17).draw(0, 12, step=0) == [0, 2, 1, 2, 2, 1, 2, 1, 0, 2, 1, 2]
    assert fixed([1, 2, 3], seed=0).draw(10**12, 12, step=0) == [2, 1, 2, 2, 1, 2, 1, 0, 2, 1, 2, 2]


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=20), st.floats(0, 1e300))
def test_normalize_power_does_not_overflow(sizes: list[int], exponent: float) -> None:
    assert math.fsum(normalize_power(sizes, exponent=exponent)) == pytest.approx(1)

"""Annealed sampling (Stickland and Murray, 2019)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nlpmtl.sampling import Sampler


@pytest.mark.parametrize(("step", "exponent"), [(0, 1.0), (999, 1.0), (1_000, 0.6), (1_999, 0.6), (2_000, 0.2)])
def test_frequencies(
    build: Callable[..., Sampler],
    frequencies: Callable[..., list[float]],
    sizes: tuple[int, ...],
    step: int,
    exponent: float,
) -> None:
    powers = [size**exponent for size in sizes]
    expected = [power / sum(powers) for power in powers]
    assert frequencies(build("annealed", sizes), step) == pytest.approx(expected, abs=5e-5)


def test_a_part_of_an_epoch_is_the_last(build: Callable[..., Sampler]) -> None:
    sampler = build("annealed", (1, 32), total_steps=1_001, epoch_steps=1_000)
    assert sampler.probabilities(999) == pytest.approx((1 / 33, 32 / 33))
    assert sampler.probabilities(1_000) == pytest.approx((1 / 3, 2 / 3))
    assert sampler.probabilities(5_000) == sampler.probabilities(1_000)


@pytest.mark.parametrize("total_steps", [1, 400, 1_000])
def test_one_epoch_is_proportional(build: Callable[..., Sampler], total_steps: int) -> None:
    sampler = build("annealed", (1, 3), total_steps=total_steps, epoch_steps=1_000)
    assert sampler.probabilities(total_steps - 1) == pytest.approx((0.25, 0.75))

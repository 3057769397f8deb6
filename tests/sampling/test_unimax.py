"""UniMax sampling (Chung et al., 2023), compared with a second algorithm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import Sampler


def water_level(caps: list[float], budget: float) -> list[float]:
    """The same shares by bisection: the level at which Σ min(cap, level) equals the budget."""
    low, high = 0.0, max(caps)
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if sum(min(cap, level) for cap in caps) < budget else (low, level)
    return [min(cap, high) for cap in caps]


@pytest.mark.parametrize("max_epochs", [0.5, 1, 4])
def test_frequencies(
    build: Callable[..., Sampler], frequencies: Callable[..., list[float]], sizes: tuple[int, ...], max_epochs: float
) -> None:
    shares = water_level([size * max_epochs for size in sizes], 3_000 * 32)
    expected = [share / sum(shares) for share in shares]
    assert frequencies(build("unimax", sizes, max_epochs=max_epochs)) == pytest.approx(expected, abs=5e-5)


def test_by_hand(build: Callable[..., Sampler]) -> None:
    # 1,000 rows: 4 · 10 for the first, 4 · 50 for the second, and the other two share 760.
    sampler = build("unimax", (10_000, 10, 50, 20_000), total_steps=100, rows_per_step=10)
    assert sampler.probabilities(0) == pytest.approx((0.38, 0.04, 0.2, 0.38))


def test_a_run_too_long_for_the_limit_is_proportional(build: Callable[..., Sampler]) -> None:
    sampler = build("unimax", (10, 30), max_epochs=2, total_steps=100, rows_per_step=10)
    assert sampler.probabilities(0) == pytest.approx((0.25, 0.75))


@pytest.mark.parametrize("max_epochs", [0, -1, "few"])
def test_refused(max_epochs: object) -> None:
    with pytest.raises(ValidationError, match="max_epochs"):
        SAMPLERS.parse({"kind": "unimax", "max_epochs": max_epochs})

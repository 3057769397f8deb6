"""Round-robin sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nlpmtl.sampling import Sampler


def test_frequencies(
    build: Callable[..., Sampler], frequencies: Callable[..., list[float]], sizes: tuple[int, ...]
) -> None:
    sampler = build("round_robin", sizes)
    assert frequencies(sampler) == pytest.approx([1 / len(sizes)] * len(sizes), abs=1e-5)
    assert sampler.probabilities(0) == pytest.approx([1 / len(sizes)] * len(sizes))


def test_strict_rotation(build: Callable[..., Sampler]) -> None:
    assert build("round_robin", (5, 500, 50)).draw(4, 7, step=0) == [1, 2, 0, 1, 2, 0, 1]

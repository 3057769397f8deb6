"""Proportional sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nlpmtl.sampling import Sampler


def test_frequencies(
    build: Callable[..., Sampler], frequencies: Callable[..., list[float]], sizes: tuple[int, ...]
) -> None:
    expected = [size / sum(sizes) for size in sizes]
    assert frequencies(build("proportional", sizes)) == pytest.approx(expected, abs=5e-5)

"""Temperature sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import Sampler


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_frequencies(
    build: Callable[..., Sampler],
    frequencies: Callable[..., list[float]],
    sizes: tuple[int, ...],
    temperature: float,
) -> None:
    logs = [math.log(size) / temperature for size in sizes]
    expected = [1 / sum(math.exp(other - log) for other in logs) for log in logs]
    assert frequencies(build("temperature", sizes, temperature=temperature)) == pytest.approx(expected, abs=5e-5)


def test_default_is_the_square_root(build: Callable[..., Sampler]) -> None:
    assert build("temperature", (1, 10_000)).probabilities(0) == pytest.approx((1 / 101, 100 / 101))


def test_limits(build: Callable[..., Sampler]) -> None:
    assert build("temperature", (1, 1_000_000), temperature=1e-300).probabilities(0) == (0, 1)
    assert build("temperature", (1, 1_000_000), temperature=1e300).probabilities(0) == (0.5, 0.5)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "warm"])
def test_refused(temperature: object) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        SAMPLERS.parse({"kind": "temperature", "temperature": temperature})

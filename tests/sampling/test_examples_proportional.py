"""Examples-proportional mixing with a limit, as in T5."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import Sampler


@pytest.mark.parametrize("cap", [1, 25, 65_536, 10**9])
def test_frequencies(
    build: Callable[..., Sampler], frequencies: Callable[..., list[float]], sizes: tuple[int, ...], cap: int
) -> None:
    counted = [size if size < cap else cap for size in sizes]
    expected = [size / sum(counted) for size in counted]
    assert frequencies(build("capped", sizes, cap=cap)) == pytest.approx(expected, abs=5e-5)


def test_the_default_limit_is_the_lowest_of_t5(build: Callable[..., Sampler]) -> None:
    assert build("capped", (65_535, 10**6)).probabilities(0) == pytest.approx((65_535 / 131_071, 65_536 / 131_071))


@pytest.mark.parametrize("cap", [0, -1, 2.5, "all"])
def test_refused(cap: object) -> None:
    with pytest.raises(ValidationError, match="cap"):
        SAMPLERS.parse({"kind": "capped", "cap": cap})

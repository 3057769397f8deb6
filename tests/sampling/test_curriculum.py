"""Curriculum sampling in phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from nlpmtl.errors import ConfigError
from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import Sampler

PHASES = [{"datasets": ["big", "middle"], "until": 0.25}, {"datasets": ["small"], "until": 0.5}, {"until": 1.0}]
NAMES = ("big", "middle", "small")


def test_each_phase_draws_from_its_datasets(build: Callable[..., Sampler]) -> None:
    sampler = build("phases", (60, 30, 10), names=NAMES, phases=PHASES)
    assert sampler.probabilities(0) == sampler.probabilities(749) == pytest.approx((2 / 3, 1 / 3, 0))
    assert sampler.probabilities(750) == (0, 0, 1)
    assert sampler.probabilities(1500) == sampler.probabilities(2999) == pytest.approx((0.6, 0.3, 0.1))


def test_large_datasets_come_first_by_default(build: Callable[..., Sampler]) -> None:
    sampler = build("phases", (400_000, 100_000, 600), names=NAMES)
    assert sampler.probabilities(1499) == pytest.approx((0.8, 0.2, 0))
    assert min(sampler.probabilities(1500)) > 0
    assert build("phases", (5, 5, 5), names=NAMES).probabilities(0) == pytest.approx((1 / 3,) * 3)


def test_a_temperature_flattens(build: Callable[..., Sampler]) -> None:
    sampler = build("phases", (81, 9, 1), names=NAMES, temperature=2.0)
    assert sampler.probabilities(2000) == pytest.approx((9 / 13, 3 / 13, 1 / 13))


def test_a_low_temperature_draws_the_largest_dataset_of_the_phase(build: Callable[..., Sampler]) -> None:
    sampler = build(
        "phases", (10**6, 50, 40), names=NAMES, phases=[{"datasets": ["middle", "small"]}], temperature=0.01
    )
    assert sampler.probabilities(0) == pytest.approx((0, 1, 0), abs=1e-6)


def test_the_end_of_a_phase_is_a_decimal_fraction(build: Callable[..., Sampler]) -> None:
    """In binary, 0.07 · 3000 is a little more than 210."""
    sampler = build("phases", (60, 30, 10), names=NAMES, phases=[{"datasets": ["small"], "until": 0.07}, {}])
    assert [sampler.probabilities(step)[2] == 1 for step in (209, 210)] == [True, False]


def test_an_unknown_dataset_suggests_the_nearest(build: Callable[..., Sampler]) -> None:
    with pytest.raises(ConfigError, match=r"sampling\.phases\.0\.datasets: no dataset 'midle'; did you mean 'middle'"):
        build("phases", (60, 30, 10), names=NAMES, phases=[{"datasets": ["midle"]}])


def test_an_empty_list_of_phases_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"phases\n +at least 1 entry is needed"):
        SAMPLERS.parse({"kind": "phases", "phases": []})


@pytest.mark.parametrize("ends", [[0.5], [0.5, 0.5, 1.0], [0.7, 0.3, 1.0]])
def test_phases_must_follow_each_other_to_the_end(ends: list[float]) -> None:
    given: dict[str, Any] = {"kind": "phases", "phases": [{"until": end} for end in ends]}
    with pytest.raises(ValidationError, match=r"the last at 1\.0"):
        SAMPLERS.parse(given)

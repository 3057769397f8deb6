"""Fixtures that build samplers and count their draws, and the dataset sizes for all formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import nlpmtl.sampling as sampling
from nlpmtl.registry import SAMPLERS

GLUE = (8_551, 67_349, 3_668, 363_846, 5_749, 392_702, 104_743, 2_490, 635)


@pytest.fixture(
    params=[
        pytest.param((7,), marks=pytest.mark.slow),
        (1, 1_000_000),
        pytest.param((30, 20, 20), marks=pytest.mark.slow),
        GLUE,
        tuple(range(1, 65)),
    ],
    ids=lambda sizes: f"{len(sizes)}",
)
def sizes(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return tuple(request.param)


@pytest.fixture(scope="session")
def build() -> Callable[..., sampling.Sampler]:
    """`build(kind, sizes, **options)`: three epochs of 1,000 steps of 32 draws by default."""

    def build(kind: str, sizes: Sequence[int], **options: Any) -> sampling.Sampler:
        run: dict[str, Any] = {"total_steps": 3_000, "epoch_steps": 1_000, "rows_per_step": 32, "seed": 17}
        run |= {name: options.pop(name) for name in (*run, "names", "tasks") if name in options}
        return sampling.build_sampler(SAMPLERS.parse({"kind": kind, **options}), sizes=sizes, **run)

    return build


@pytest.fixture(scope="session")
def frequencies() -> Callable[..., list[float]]:
    """`frequencies(sampler, step=0)`: the share of each dataset in 100,000 draws."""

    def frequencies(sampler: sampling.Sampler, step: int = 0) -> list[float]:
        picks = sampler.draw(12_345, 100_000, step=step)
        return [picks.count(index) / len(picks) for index in range(len(sampler.sizes))]

    return frequencies

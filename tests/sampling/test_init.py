"""Public names and registry of `nlpmtl.sampling`."""

from __future__ import annotations

import doctest

import nlpmtl.sampling
from nlpmtl.registry import SAMPLERS


def test_the_example_runs() -> None:
    failed, attempted = doctest.testmod(nlpmtl.sampling)
    assert attempted
    assert not failed


def test_the_members_are_registered() -> None:
    assert {
        "annealed",
        "capped",
        "proportional",
        "round_robin",
        "temperature",
        "uniform",
        "unimax",
    } <= set(SAMPLERS.names())


def test_all_lists_the_public_names() -> None:
    assert nlpmtl.sampling.__all__ == sorted(nlpmtl.sampling.__all__)
    assert all(hasattr(nlpmtl.sampling, name) for name in nlpmtl.sampling.__all__)

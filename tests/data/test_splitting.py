"""Held-out fractions and limits of rows."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.data.splitting import hold_out, subsample


@pytest.mark.parametrize(
    ("rows", "fraction", "held_count"),
    [(100, 0.07, 7), (10, 0.1, 1), (11, 0.1, 2), (30, 0.1, 3), (1, 0.5, 1), (3, 0.99, 3)],
)
def test_hold_out_rounds_the_fraction_up(rows: int, fraction: float, held_count: int) -> None:
    kept, held_out = hold_out(rows, fraction=fraction)
    assert len(held_out) == held_count
    assert sorted([*kept, *held_out]) == list(range(rows))
    assert (np.diff(kept) > 0).all()


def test_hold_out_is_deterministic() -> None:
    assert hold_out(20, fraction=0.25)[1].tolist() == [1, 6, 13, 15, 16]


def test_rows_of_a_smaller_limit_are_a_subset() -> None:
    small, large = subsample(100, limit=10), subsample(100, limit=30)
    assert len(small) == 10
    assert set(small) < set(large)
    assert small.max() > 10
    assert (np.diff(small) > 0).all()


@pytest.mark.parametrize("limit", [7, 8])
def test_a_limit_of_all_rows_or_more_takes_all(limit: int) -> None:
    assert subsample(7, limit=limit).tolist() == list(range(7))

"""Means with their errors: right for independent draws, wider for draws that follow each other."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.estimate import estimate


def test_of_draws_that_swing_the_error_is_the_textbooks() -> None:
    values = np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0])  # neighbours are not alike: nothing is taken off
    found = estimate(values, tests=1)
    assert found.mean == 2.0
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(6))
    assert found.clear


def test_draws_that_follow_each_other_count_for_less() -> None:
    values = np.repeat([1.0, 3.0, 2.0, 4.0, 3.0, 5.0], 5)
    assert estimate(values, tests=1).error > 1.8 * values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(("memory", "least", "most"), [(0.0, 0.9, 1.15), (0.7, 0.75, 1.1)])
def test_the_error_is_how_far_means_are_from_the_truth(memory: float, least: float, most: float) -> None:
    source = np.random.default_rng(0)
    values = source.normal(size=(200, 500))
    for at in range(1, len(values)):
        values[at] += memory * values[at - 1]
    found = estimate(values, tests=1)
    assert least < found.error.mean() / found.mean.std() < most


def test_of_many_zeros_hardly_any_is_told_from_0() -> None:
    source = np.random.default_rng(1)
    anything = [estimate(source.normal(size=(27, 6, 5)), tests=30).clear.any() for _ in range(400)]
    assert 0.01 < np.mean(anything) < 0.10, "5 % of all times, whatever the number of tests"


def test_what_is_missing_is_left_out() -> None:
    values = np.array([[np.nan, 1.0, np.nan], [2.0, 1.0, np.nan], [4.0, 1.0, 5.0], [2.0, 1.0, np.nan]])
    found = estimate(values, tests=1)
    np.testing.assert_allclose(found.mean, [8 / 3, 1.0, 5.0])
    assert np.isnan(found.error[2]), "one draw says nothing of its error"
    assert found.error[1] == 0.0
    np.testing.assert_array_equal(found.clear, [False, True, False])
    assert np.isnan(estimate(np.full((3, 1), np.nan), tests=1).mean)

"""Standard errors of means: those of the textbook for independent measurements, wider for autocorrelated ones."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.affinity.estimate import estimate


def test_without_autocorrelation_the_error_is_the_textbook_one() -> None:
    values = np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0])  # negative autocorrelation counts as none
    result = estimate(values, tests=1)
    assert result.mean == 2.0
    assert result.error == pytest.approx(values.std(ddof=1) / np.sqrt(6))
    assert result.significant


def test_autocorrelated_measurements_count_for_less() -> None:
    values = np.repeat([1.0, 3.0, 2.0, 4.0, 3.0, 5.0], 5)
    assert estimate(values, tests=1).error > 1.8 * values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(("correlation", "low", "high"), [(0.0, 0.9, 1.15), (0.7, 0.75, 1.1)])
def test_the_error_is_the_standard_deviation_of_the_mean(correlation: float, low: float, high: float) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 500))
    for step in range(1, len(values)):
        values[step] += correlation * values[step - 1]
    result = estimate(values, tests=1)
    assert low < result.error.mean() / result.mean.std() < high


def test_few_false_positives_among_many_tests() -> None:
    generator = np.random.default_rng(1)
    any_significant = [estimate(generator.normal(size=(27, 6, 5)), tests=30).significant.any() for _ in range(400)]
    assert 0.01 < np.mean(any_significant) < 0.10, "5%, whatever the number of tests"


def test_missing_measurements_are_ignored() -> None:
    values = np.array([[np.nan, 1.0, np.nan], [2.0, 1.0, np.nan], [4.0, 1.0, 5.0], [2.0, 1.0, np.nan]])
    result = estimate(values, tests=1)
    np.testing.assert_allclose(result.mean, [8 / 3, 1.0, 5.0])
    assert np.isnan(result.error[2]), "a single measurement has no error"
    assert result.error[1] == 0.0
    np.testing.assert_array_equal(result.significant, [False, True, False])
    assert np.isnan(estimate(np.full((3, 1), np.nan), tests=1).mean)


@pytest.mark.parametrize("measurements", [32, 64])
@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.7])
def test_few_false_positives_among_autocorrelated_measurements(correlation: float, measurements: int) -> None:
    """The autocorrelation of a few measurements is underestimated, unless its bias is corrected."""
    generator = np.random.default_rng(1)
    values = generator.normal(size=(50 + measurements, 200, 30))
    for step in range(1, len(values)):
        values[step] += correlation * values[step - 1]
    any_significant = [estimate(values[50:, trial], tests=30).significant.any() for trial in range(200)]
    assert np.mean(any_significant) < 0.1, "without the correction 0.1 to 0.5"
    effects = values[50:, 0] + 10 / (1 - correlation)
    assert estimate(effects, tests=30).significant.mean() > 0.85, "large effects are still significant"

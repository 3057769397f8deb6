"""Bootstrap intervals and Δm, compared with scipy, the central limit theorem and values computed by hand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from nlpmtl.comparison.statistics import (
    Scorer,
    SeedScores,
    delta,
    delta_interval,
    paired_bootstrap,
    percentile_interval,
    relative_change,
    to_verdict,
)

QUICK = settings(deadline=None, max_examples=20)
CORRECT = st.lists(st.booleans(), min_size=1, max_size=30)


def accuracy(correct: NDArray[np.bool_]) -> Scorer:
    return lambda rows: float(correct[rows].mean())


def differences(
    first: list[NDArray[np.bool_]], second: list[NDArray[np.bool_]], resamples: int = 100
) -> NDArray[np.float64]:
    scorers = ([accuracy(correct) for correct in system] for system in (first, second))
    scores = paired_bootstrap(*scorers, rows=len(first[0]), seed=3, resamples=resamples)
    return scores[:, 0] - scores[:, 1]


def predictions(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    correct: NDArray[np.bool_] = np.random.default_rng(seed).random(count) < share
    return correct


class TestPairedBootstrap:
    def test_the_interval_equals_scipys(self) -> None:
        first, second = predictions(300, 0.8, 1), predictions(300, 0.7, 2)
        actual = percentile_interval(differences([first], [second], resamples=4000))
        expected = stats.bootstrap(
            (first, second),
            lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
            paired=True,
            n_resamples=4000,
            method="percentile",
            rng=np.random.default_rng(5),
        ).confidence_interval
        assert actual == pytest.approx((expected.low, expected.high), abs=0.006)
        assert actual[0] < first.mean() - second.mean() < actual[1]

    def test_the_interval_of_a_mean_follows_the_central_limit_theorem(self) -> None:
        first, second = predictions(400, 0.9, 3), predictions(400, 0.6, 4)
        each = first.astype(float) - second
        half = NormalDist().inv_cdf(0.975) * each.std() / np.sqrt(len(each))
        low, high = percentile_interval(differences([first], [second], resamples=4000))
        assert (low, high) == pytest.approx((each.mean() - half, each.mean() + half), abs=0.008)

    def test_the_interval_has_its_nominal_coverage(self) -> None:
        """Two equally good systems on 60 rows, 100 times."""
        covered = 0
        for trial in range(100):
            low, high = percentile_interval(
                differences([predictions(60, 0.7, 2 * trial)], [predictions(60, 0.7, 2 * trial + 1)])
            )
            covered += low <= 0 <= high
        assert 89 <= covered <= 99

    @QUICK
    @given(CORRECT)
    def test_equal_predictions_have_no_difference(self, correct: list[bool]) -> None:
        assert percentile_interval(differences([np.array(correct)], [np.array(correct)])) == (0.0, 0.0)

    @QUICK
    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
    def test_swapping_the_systems_flips_the_sign(self, rows: list[tuple[bool, bool]]) -> None:
        first, second = (np.array(column) for column in zip(*rows, strict=True))
        low, high = percentile_interval(differences([first], [second]))
        assert percentile_interval(differences([second], [first])) == pytest.approx((-high, -low))

    @QUICK
    @given(CORRECT)
    def test_both_systems_are_scored_on_the_same_rows(self, correct: list[bool]) -> None:
        """With separate samples, a constant difference would vary."""
        array = np.array(correct)
        scorers = [lambda rows: float(array[rows].mean()) + 0.25], [accuracy(array)]
        scores = paired_bootstrap(*scorers, rows=len(array), seed=0, resamples=50)
        assert scores[:, 0] - scores[:, 1] == pytest.approx(0.25)

    def test_more_seeds_with_the_same_predictions_do_not_narrow_the_interval(self) -> None:
        first, second = predictions(50, 0.8, 5), predictions(50, 0.6, 6)
        assert differences([first] * 3, [second] * 3) == pytest.approx(differences([first], [second]))

    def test_the_scores_are_means_over_seeds(self) -> None:
        constant: list[Scorer] = [lambda rows: 0.25, lambda rows: 0.75]
        scores = paired_bootstrap(constant, constant[:1], rows=4, seed=0, resamples=5)
        assert scores.tolist() == [[0.5, 0.25]] * 5

    def test_a_resample_has_as_many_rows_with_repetitions(self) -> None:
        drawn: list[list[int]] = []

        def score(rows: NDArray[np.int64]) -> float:
            drawn.append(sorted(rows.tolist()))
            return 0.0

        paired_bootstrap([score], [score], rows=10, seed=0, resamples=100)
        assert all(len(rows) == 10 and set(rows) <= set(range(10)) for rows in drawn)
        assert any(len(set(rows)) < 10 for rows in drawn)
        assert {row for rows in drawn for row in rows} == set(range(10))
        assert drawn[::2] == drawn[1::2]
        assert drawn[0] != drawn[2]


class TestInterval:
    def test_by_hand(self) -> None:
        assert percentile_interval(np.arange(101.0), confidence=0.9) == pytest.approx((5.0, 95.0))
        assert percentile_interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))

    @pytest.mark.parametrize(
        ("between", "verdict"),
        [
            ((0.01, 0.02), "gained"),
            ((-0.02, -0.01), "hurt"),
            ((-0.01, 0.02), "cannot be told apart"),
            ((0.0, 0.02), "cannot be told apart"),
            ((-0.02, 0.0), "cannot be told apart"),
            ((0.0, 0.0), "cannot be told apart"),
        ],
    )
    def test_an_interval_that_excludes_zero_is_significant(self, between: tuple[float, float], verdict: str) -> None:
        assert to_verdict(between) == verdict


class TestSeedScores:
    def test_by_hand(self) -> None:
        spread = SeedScores((0.5, 0.7, 0.6))
        assert spread.mean == pytest.approx(0.6)
        assert spread.deviation == pytest.approx(0.1)

    def test_one_seed_has_no_standard_deviation(self) -> None:
        assert (SeedScores((0.5,)).mean, SeedScores((0.5,)).deviation) == (0.5, None)


class TestRelativeChange:
    @pytest.mark.parametrize(
        ("mixture", "single", "change"),
        [(0.9, 0.6, 50.0), (0.6, 0.9, -100 / 3), (0.5, 0.5, 0.0), (-1.0, -2.0, 50.0), (-3.0, -2.0, -50.0)],
    )
    def test_the_change_of_a_task(self, mixture: float, single: float, change: float) -> None:
        assert relative_change(mixture, single) == pytest.approx(change)

    def test_delta_is_positive_when_an_error_metric_falls(self) -> None:
        """(−1)^l (M_m − M_b) / M_b, where l is 1 if lower is better; our scores of errors are negated."""
        single, mixture = 0.4, 0.3
        assert relative_change(-mixture, -single) == pytest.approx(100 * -1 * (mixture - single) / single)

    def test_delta_of_a_zero_baseline_is_undefined(self) -> None:
        assert relative_change(0.5, 0.0) is None
        assert delta({"a": 10.0, "b": None, "c": -4.0}) == 3.0
        assert delta({"b": None}) is None

    def test_the_interval_of_delta(self) -> None:
        first = np.array([[0.6, 0.5], [0.5, 0.5], [0.4, 0.5]])  # +20, 0, −20 %
        second = np.array([[0.3, 0.2], [-0.1, -0.2], [0.4, 0.0]])  # +50, +50 %, undefined
        assert delta_interval([first, second]) == pytest.approx(tuple(np.quantile([35.0, 25.0, -20.0], [0.025, 0.975])))

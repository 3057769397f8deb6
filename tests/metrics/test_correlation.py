"""Pearson and Spearman correlations, by hand and compared with SciPy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nlpmtl.metrics import EmbeddingSpearman, Metric, Pearson, Spearman

QUICK = settings(deadline=None, max_examples=25)
NUMBERS = st.floats(-100, 100, width=16)
ANY = st.floats(allow_nan=True, allow_infinity=True)
BOTH = pytest.mark.parametrize("metric", [Pearson(), Spearman()], ids=lambda metric: metric.name)


def test_pearson_by_hand() -> None:
    # Deviations (−1, 0, 1) and (−1, 1, 0): 1 / √(2·2).
    assert Pearson().compute(predictions=[1.0, 2.0, 3.0], references=[1.0, 3.0, 2.0]) == {
        "pearsonr": pytest.approx(0.5)
    }


def test_spearman_by_hand() -> None:
    # Ranks (1, 2, 3, 4) and (2, 1, 4, 3): 1 − 6·4 / (4·15).
    rows = {"predictions": [1.0, 10.0, 100.0, 1e6], "references": [-4.0, -5.0, 0.2, 0.1]}
    assert Spearman().compute(**rows) == {"spearmanr": pytest.approx(0.6)}


def test_the_metric_of_embeddings_has_the_same_value() -> None:
    rows = {"predictions": [1.0, 10.0, 100.0, 1e6], "references": [-4.0, -5.0, 0.2, 0.1]}
    assert EmbeddingSpearman().compute(**rows) == {"spearman": Spearman().compute(**rows)["spearmanr"]}


def test_spearman_of_ties_by_hand() -> None:
    # Ranks (1.5, 1.5, 3) and (1, 2, 3): 1.5 / √(1.5·2).
    rows = {"predictions": [1.0, 1.0, 2.0], "references": [1.0, 2.0, 3.0]}
    assert Spearman().compute(**rows) == {"spearmanr": pytest.approx(1.5 / math.sqrt(3))}


@BOTH
@pytest.mark.parametrize("predictions", [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_undefined_correlations(metric: Metric, predictions: list[float]) -> None:
    right = [1.0, 2.0, 4.0]
    assert metric.compute(predictions=predictions, references=right) == {metric.name: None}
    assert metric.compute(predictions=right, references=predictions) == {metric.name: None}


@pytest.mark.parametrize("predictions", [[0.1 + 0.2, 0.3, 0.3], [1e8, 1e8 + 1e-7, 1e8]])
def test_constants_up_to_rounding_are_undefined(predictions: list[float]) -> None:
    assert len(set(predictions)) > 1
    assert Pearson().compute(predictions=predictions, references=[1.0, 2.0, 4.0]) == {"pearsonr": None}


@BOTH
def test_one_row_is_undefined_and_two_are_not(metric: Metric) -> None:
    assert metric.compute(predictions=[1.0], references=[2.0]) == {metric.name: None}
    assert metric.compute(predictions=[1.0, 2.0], references=[4.0, 3.0]) == {metric.name: pytest.approx(-1.0)}


@BOTH
@pytest.mark.parametrize("scale", [1e-200, 1e-10, 1e10, 1e200])
def test_correlations_are_scale_invariant(metric: Metric, scale: float) -> None:
    predictions, references = [1.0, 2.0, 4.0, 3.0], [2.0, 1.0, 4.0, 3.5]
    expected = metric.compute(predictions=predictions, references=references)[metric.name]
    scaled = metric.compute(predictions=[scale * number for number in predictions], references=references)[metric.name]
    assert scaled == pytest.approx(expected)


@BOTH
@QUICK
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3))
def test_correlations_equal_scipy(metric: Metric, rows: list[tuple[float, float]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    score = metric.compute(predictions=predictions, references=references)[metric.name]
    if min(len(set(predictions)), len(set(references))) > 1:
        assert score == pytest.approx(getattr(stats, metric.name)(predictions, references).statistic, abs=1e-9)
    else:
        assert score is None


@BOTH
@QUICK
@given(rows=st.lists(st.tuples(ANY, ANY), min_size=1))
def test_random_numbers_give_a_correlation_or_none(metric: Metric, rows: list[tuple[float, float]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    score = metric.compute(predictions=predictions, references=references)[metric.name]
    assert score is None or -1.0 <= score <= 1.0

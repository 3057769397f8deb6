"""Matthews correlation, by hand and compared with scikit-learn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from nlpmtl.metrics import MatthewsCorrelation

QUICK = settings(deadline=None, max_examples=25)
LABELS = st.tuples(st.integers(0, 2), st.integers(0, 2))


def test_by_hand() -> None:
    # tp 2, tn 1, fp 1, fn 0: (2·1 − 1·0) / √(3·2·2·1).
    rows = {"predictions": [1, 1, 1, 0], "references": [1, 1, 0, 0]}
    assert MatthewsCorrelation().compute(**rows) == {"matthews_correlation": pytest.approx(2 / math.sqrt(12))}


def test_the_opposite_is_minus_one() -> None:
    rows = {"predictions": [1, 0, 1, 0], "references": [0, 1, 0, 1]}
    assert MatthewsCorrelation().compute(**rows) == {"matthews_correlation": pytest.approx(-1.0)}


@pytest.mark.parametrize(
    ("predictions", "references"), [([1, 1], [0, 1]), ([0, 1], [1, 1]), ([1, 1], [1, 1]), ([1], [1])]
)
def test_one_class_is_undefined(predictions: list[int], references: list[int]) -> None:
    assert MatthewsCorrelation().compute(predictions=predictions, references=references) == {
        "matthews_correlation": None
    }


@QUICK
@given(st.lists(LABELS, min_size=2))
def test_the_score_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    score = MatthewsCorrelation().compute(predictions=predictions, references=references)["matthews_correlation"]
    if min(len(set(predictions)), len(set(references))) > 1:
        assert score == pytest.approx(matthews_corrcoef(references, predictions))
    else:
        assert score is None

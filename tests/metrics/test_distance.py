"""Mean absolute and mean squared error, by hand and compared with scikit-learn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error

from nlpmtl.metrics import MeanAbsoluteError, MeanSquaredError

QUICK = settings(deadline=None, max_examples=25)
NUMBERS = st.floats(-1e6, 1e6)


def test_by_hand() -> None:
    rows = {"predictions": [1.0, 2.0, -3.0], "references": [1.0, 4.0, -2.0]}
    assert MeanAbsoluteError().compute(**rows) == {"mae": pytest.approx(1.0)}
    assert MeanSquaredError().compute(**rows) == {"mse": pytest.approx(5 / 3)}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_undefined(odd: float) -> None:
    assert MeanAbsoluteError().compute(predictions=[odd, 1.0], references=[0.0, 1.0]) == {"mae": None}
    assert MeanSquaredError().compute(predictions=[0.0, 1.0], references=[odd, 1.0]) == {"mse": None}


@QUICK
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_the_score_equals_scikit_learn(rows: list[tuple[float, float]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    mae, mse = mean_absolute_error(references, predictions), mean_squared_error(references, predictions)
    assert MeanAbsoluteError().compute(predictions=predictions, references=references) == {"mae": pytest.approx(mae)}
    assert MeanSquaredError().compute(predictions=predictions, references=references) == {"mse": pytest.approx(mse)}

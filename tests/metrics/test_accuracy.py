"""Accuracy, by hand and compared with scikit-learn."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from nlpmtl.metrics import Accuracy

QUICK = settings(deadline=None, max_examples=25)
LABELS = st.integers(0, 3)
SETS = st.lists(st.integers(0, 1), min_size=2, max_size=2)


def test_labels_by_hand() -> None:
    assert Accuracy().compute(predictions=[0, 1, 2, 2], references=[0, 1, 1, 0]) == {"accuracy": 0.5}


def test_a_set_is_correct_only_if_equal() -> None:
    metric = Accuracy(reads_as="label_set")
    rows = {"predictions": [[1, 0], [1, 1], [0, 0]], "references": [[1, 0], [1, 0], [0, 0]]}
    assert metric.compute(**rows) == {"accuracy": 2 / 3}


def test_a_set_of_one_column() -> None:
    assert Accuracy(reads_as="label_set").compute(predictions=[[1], [0]], references=[[1], [1]]) == {"accuracy": 0.5}


@QUICK
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1))
def test_label_accuracy_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    assert Accuracy().compute(predictions=predictions, references=references) == {
        "accuracy": accuracy_score(references, predictions)
    }


@QUICK
@given(st.lists(st.tuples(SETS, SETS), min_size=1))
def test_set_scores_equal_scikit_learn(rows: list[tuple[list[int], list[int]]]) -> None:
    predictions, references = (list(column) for column in zip(*rows, strict=True))
    score = Accuracy(reads_as="label_set").compute(predictions=predictions, references=references)
    assert score == {"accuracy": accuracy_score(references, predictions)}

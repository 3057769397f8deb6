from __future__ import annotations

from typing import Any

from nlpmtl.tasks import Confusion, LabelCounts, Labeling, RegressionPairs
from nlpmtl.tasks.error_analysis import NOTHING, ErrorAnalysis, count_errors
from tests.tasks.kinds import analyse, named


def compare(plot: str, *, gold: Any, predicted: Any, names: Any) -> ErrorAnalysis:
    return count_errors(plot, named(names, predicted), named(names, gold), names=names)


def test_classes_are_counted_true_by_predicted() -> None:
    found = compare("confusion_matrix", gold=[0, 0, 1, 2], predicted=[0, 1, 1, 0], names=["a", "b", "unknown"])
    assert isinstance(found, Confusion)
    assert found.labels == ("a", "b", "unknown")
    assert found.counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.unit == "rows"


def test_tags_are_counted_by_word_and_words_without_an_answer_too() -> None:
    found = compare("confusion_matrix", gold=[[0, 1], [1]], predicted=[[0, -1], [1]], names=["N", "V"])
    assert isinstance(found, Confusion)
    assert found.labels == ("N", "V", NOTHING)
    assert found.counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert found.unit == "words"


def test_sets_are_counted_by_label() -> None:
    found = compare("precision_recall", gold=[[0, 1], [], [2]], predicted=[[0], [1], []], names=["x", "y", "z"])
    assert isinstance(found, LabelCounts)
    assert (found.found.tolist(), found.missed.tolist(), found.wrong.tolist()) == ([1, 0, 0], [0, 1, 1], [0, 1, 0])


def test_numbers_stay_numbers() -> None:
    found = compare("scatter", gold=[1.0, 2.5], predicted=[1.5, 2.0], names=[])
    assert isinstance(found, RegressionPairs)
    assert (found.gold.tolist(), found.predicted.tolist()) == ([1.0, 2.5], [1.5, 2.0])


def test_without_rows_there_is_nothing_to_count() -> None:
    found = compare("confusion_matrix", gold=[], predicted=[], names=["a", "b"])
    assert isinstance(found, Confusion)
    assert found.counts.tolist() == [[0, 0], [0, 0]]


def test_spans_are_compared_by_their_type() -> None:
    labels = ["O", "B-place", "I-place", "B-person"]
    task = Labeling(name="t", labels=labels, metrics=None, input="words")
    found = analyse(task, gold=[[1, 2, 0, 4]], predicted=[[1, 1, 3, 0]], names=[*labels, "MISC"])
    assert isinstance(found, Confusion)
    assert found.labels == ("O", "place", "person", "MISC")
    assert found.counts.tolist() == [[0, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    plain = Labeling(name="t", labels=["N", "V"], metrics=None, input="words", scheme="plain")
    assert isinstance(other := analyse(plain, gold=[[0]], predicted=[[1]], names=["N", "V"]), Confusion)
    assert other.labels == ("N", "V")

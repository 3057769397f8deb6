"""Confusion counts, label counts and regression pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlpmtl.tasks import Confusion, LabelCounts, Labeling, RegressionPairs
from nlpmtl.tasks.error_analysis import NO_PREDICTION, ErrorAnalysis, count_errors
from tests.tasks.kinds import analyse, named


def compare(plot: str, *, gold: Any, predicted: Any, names: Any) -> ErrorAnalysis:
    return count_errors(plot, named(names, predicted), named(names, gold), names=names)


def test_classes_are_counted_true_by_predicted() -> None:
    analysis = compare("confusion_matrix", gold=[0, 0, 1, 2], predicted=[0, 1, 1, 0], names=["a", "b", "unknown"])
    assert isinstance(analysis, Confusion)
    assert analysis.labels == ("a", "b", "unknown")
    assert np.asarray(analysis.counts).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert analysis.unit == "rows"


def test_tags_are_counted_by_word_including_unpredicted_words() -> None:
    analysis = compare("confusion_matrix", gold=[[0, 1], [1]], predicted=[[0, -1], [1]], names=["N", "V"])
    assert isinstance(analysis, Confusion)
    assert analysis.labels == ("N", "V", NO_PREDICTION)
    assert np.asarray(analysis.counts).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert analysis.unit == "words"


def test_sets_are_counted_by_label() -> None:
    counts = compare("precision_recall", gold=[[0, 1], [], [2]], predicted=[[0], [1], []], names=["x", "y", "z"])
    assert isinstance(counts, LabelCounts)
    assert (counts.true_positives.tolist(), counts.false_negatives.tolist(), counts.false_positives.tolist()) == (
        [1, 0, 0],
        [0, 1, 1],
        [0, 1, 0],
    )


def test_regression_pairs_are_kept() -> None:
    analysis = compare("scatter", gold=[1.0, 2.5], predicted=[1.5, 2.0], names=[])
    assert isinstance(analysis, RegressionPairs)
    assert (analysis.gold.tolist(), analysis.predicted.tolist()) == ([1.0, 2.5], [1.5, 2.0])


def test_no_rows_give_empty_counts() -> None:
    analysis = compare("confusion_matrix", gold=[], predicted=[], names=["a", "b"])
    assert isinstance(analysis, Confusion)
    assert np.asarray(analysis.counts).tolist() == [[0, 0], [0, 0]]


def test_spans_are_compared_by_their_type() -> None:
    labels = ["O", "B-place", "I-place", "B-person"]
    task = Labeling(name="t", labels=labels, metrics=None, input="words")
    analysis = analyse(task, gold=[[1, 2, 0, 4]], predicted=[[1, 1, 3, 0]], names=[*labels, "MISC"])
    assert isinstance(analysis, Confusion)
    assert analysis.labels == ("O", "place", "person", "MISC")
    assert np.asarray(analysis.counts).tolist() == [[0, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    plain = Labeling(name="t", labels=["N", "V"], metrics=None, input="words", scheme="plain")
    assert isinstance(other := analyse(plain, gold=[[0]], predicted=[[1]], names=["N", "V"]), Confusion)
    assert other.labels == ("N", "V")

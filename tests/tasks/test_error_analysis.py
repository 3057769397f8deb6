"""Confusion counts, label counts and regression pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlpmtl.tasks import Confusion, Histogram, LabelCounts, Labeling, RegressionPairs, task_from_config
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


def histogram_of(kind: str, values: list[Any], gold: list[Any]) -> tuple[str, dict[str, int]]:
    """Return the quantity that is counted for a task type, and the bins that are not empty."""
    task = task_from_config(
        "t", {"kind": kind, "labels": [], "metrics": None, "input": "text", **OPTIONS.get(kind, {})}
    )
    counts = task.error_analysis(values, gold)
    assert isinstance(counts, Histogram)
    bins = zip(counts.bins, counts.counts.tolist(), strict=True)
    return counts.quantity, {name: count for name, count in bins if count}


OPTIONS: dict[str, dict[str, Any]] = {"generation": {"decoder": "new"}, "embedding": {"objective": "class"}}


def test_rankings_are_counted_by_the_rank_of_the_most_relevant_choice() -> None:
    scores, relevances = [[0.1, 0.9, 0.5]] * 3, [[0.0, 1.0, 0.0], [2.0, 1.0, 2.0], [0.0, 0.0, 0.0]]
    assert histogram_of("ranking", scores, relevances) == ("rank of the most relevant choice", {"1": 1, "2": 1})


def test_embeddings_are_counted_by_the_rank_of_the_nearest_correct_text() -> None:
    near, far = [[1.0, 0.0]], [[0.0, 1.0]]
    found = histogram_of("embedding", [near, near, far, far], ["a", "b", "a", "other"])
    assert found == ("rank of the nearest correct text", {"3": 2}), "equally near texts are counted before"


def test_embeddings_of_pairs_with_a_number_are_compared_with_it() -> None:
    config: dict[str, Any] = {"labels": [], "metrics": None, "input": "pair", "objective": "number"}
    analysis = task_from_config("t", {"kind": "embedding", **config}).error_analysis([0.5], [3.0])
    assert isinstance(analysis, RegressionPairs)
    assert (analysis.gold.tolist(), analysis.predicted.tolist()) == ([3.0], [0.5])


def test_generated_texts_are_counted_by_chrf() -> None:
    found = histogram_of("generation", ["a cat", "", "a car"], ["a cat", "a dog", "a cat"])
    assert found == ("chrF of each text", {"0.0 to 0.1": 1, "0.4 to 0.5": 1, "0.9 to 1.0": 1})


def test_choices_are_counted_by_their_index() -> None:
    config: dict[str, Any] = {"kind": "multiple_choice", "labels": [], "metrics": None, "input": "text"}
    analysis = task_from_config("t", config).error_analysis([0, 2, 0], [0, 0, 1])
    assert isinstance(analysis, Confusion)
    assert analysis.labels == ("index 0", "index 1", "index 2")
    assert np.asarray(analysis.counts).tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]


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

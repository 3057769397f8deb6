"""Alternative texts of plots."""

from __future__ import annotations

import numpy as np

from nlpmtl.plots import ScoreDifference, describe_learning_curve, describe_predictions, describe_score_differences
from nlpmtl.tasks import Confusion, LabelCounts, RegressionPairs
from nlpmtl.tasks.error_analysis import count_ranks


def test_confusion_matrix() -> None:
    counts = np.array([[5, 2, 0], [0, 4, 1], [0, 0, 9]])
    assert describe_predictions("topic", Confusion(("a", "b", "c"), counts, "rows")) == (
        "Confusion matrix of topic: 18 of 21 rows correct. "
        "Most frequent errors: a predicted as b (2), b predicted as c (1)."
    )
    correct = np.diag([2, 3])
    assert describe_predictions("t", Confusion(("a", "b"), correct, "words")) == (
        "Confusion matrix of t: 5 of 5 words correct."
    )


def test_precision_and_recall() -> None:
    counts = LabelCounts(
        ("x", "y", "z"),
        true_positives=np.array([3, 0, 0]),
        false_negatives=np.array([1, 2, 0]),
        false_positives=np.array([0, 0, 0]),
    )
    assert describe_predictions("kinds", counts) == (
        "Precision and recall of the 3 labels of kinds. Lowest F1: y (0.00), x (0.86)."
    )


def test_histogram() -> None:
    ranks = count_ranks("rank of the correct text", [1, 1, 2, 7, 10])
    assert describe_predictions("vectors", ranks) == (
        "Histogram of the rank of the correct text of vectors. Number of rows: 1: 2, 2: 1, 6 to 10: 2."
    )


def test_scatter() -> None:
    pairs = RegressionPairs(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    assert describe_predictions("grade", pairs) == (
        "Predicted versus true values of grade on 2 rows; the mean absolute error is 0.25."
    )


def test_learning_curve() -> None:
    lines = [{"step": 10, "mean": 0.25}, {"step": 20, "mean": 0.5}]
    assert describe_learning_curve(lines, steps=1200, step=20) == (
        "Train loss and validation score of each task over 1,200 steps; the mean score is 0.250 at step 10, "
        "0.500 at the selected step 20."
    )
    assert describe_learning_curve([], steps=8, step=8) == "Train loss of each task over 8 steps."


def test_score_differences() -> None:
    differences = [
        ScoreDifference("topic", 0.5, 0.75, (0.125, 0.375)),
        ScoreDifference("grade", -0.5, -0.75, (-0.5, 0.0)),
    ]
    assert describe_score_differences(differences) == (
        "Multi-task minus single-task score of each task, with 95% confidence interval: "
        "topic +0.250 (+0.125 to +0.375), grade -0.250 (-0.500 to +0.000)."
    )

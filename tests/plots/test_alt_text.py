from __future__ import annotations

import numpy as np

from nlpmtl.plots import ScoreDifference, describe_error_analysis, describe_learning_curve, describe_score_differences
from nlpmtl.tasks import Confusion, LabelCounts, RegressionPairs


def test_a_confusion_matrix_in_words() -> None:
    counts = np.array([[5, 2, 0], [0, 4, 1], [0, 0, 9]])
    assert describe_error_analysis("topic", Confusion(("a", "b", "c"), counts, "rows")) == (
        "Confusion matrix of topic: 18 of 21 rows right. Most often confused: a taken for b (2), b taken for c (1)."
    )
    right = np.diag([2, 3])
    assert describe_error_analysis("t", Confusion(("a", "b"), right, "words")) == (
        "Confusion matrix of t: 5 of 5 words right."
    )


def test_precision_and_recall_in_words() -> None:
    found = LabelCounts(
        ("x", "y", "z"), found=np.array([3, 0, 0]), missed=np.array([1, 2, 0]), wrong=np.array([0, 0, 0])
    )
    assert describe_error_analysis("kinds", found) == (
        "Precision and recall of the 3 labels of kinds. Lowest F1: y (0.00), x (0.86)."
    )


def test_numbers_in_words() -> None:
    found = RegressionPairs(np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    assert describe_error_analysis("grade", found) == (
        "Predicted over true values of grade on 2 rows; they are 0.25 apart on average."
    )


def test_a_learning_curve_in_words() -> None:
    lines = [{"step": 10, "mean": 0.25}, {"step": 20, "mean": 0.5}]
    assert describe_learning_curve(lines, steps=1200, step=20) == (
        "Loss of each task on train and score on validation over 1,200 steps; the mean score is 0.250 at step 10, "
        "0.500 at step 20, whose weights were kept."
    )
    assert describe_learning_curve([], steps=8, step=8) == "Loss of each task on train over 8 steps."


def test_differences_in_words() -> None:
    found = [ScoreDifference("topic", 0.5, 0.75, (0.125, 0.375)), ScoreDifference("grade", -0.5, -0.75, (-0.5, 0.0))]
    assert describe_score_differences(found) == (
        "Score of the mixture minus score alone, and the interval of 95 %, of each task: "
        "topic +0.250 (+0.125 to +0.375), grade -0.250 (-0.500 to +0.000)."
    )

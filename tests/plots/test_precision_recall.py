"""Plot of precision and recall by label."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.plots.precision_recall import precision_and_recall
from nlpmtl.tasks import LabelCounts


def test_positions_of_precision_and_recall() -> None:
    counts = LabelCounts(
        ("x", "y"),
        true_positives=np.array([3, 0]),
        false_negatives=np.array([1, 2]),
        false_positives=np.array([0, 0]),
    )
    (axes,) = precision_and_recall("kinds", counts).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x (4)", "y (2)"]
    precision, recall = (np.asarray(points.get_offsets())[:, 0] for points in axes.collections[1:])
    assert precision.tolist() == pytest.approx([1.0, np.nan], nan_ok=True), "y was never predicted"
    assert recall.tolist() == [0.75, 0.0]


def test_the_labels_with_most_errors_are_shown() -> None:
    wrong = np.zeros(90, dtype=np.int64)
    wrong[[5, 80]] = 9
    counts = LabelCounts(tuple(f"l{i}" for i in range(90)), np.ones(90, np.int64), np.zeros(90, np.int64), wrong)
    (axes,) = precision_and_recall("t", counts).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert len(names) == 40
    assert {"l5 (1)", "l80 (1)"} <= set(names)

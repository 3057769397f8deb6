from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.plots.precision_recall import precision_and_recall
from nlpmtl.tasks import LabelCounts


def test_precision_and_recall_are_where_they_belong() -> None:
    found = LabelCounts(("x", "y"), found=np.array([3, 0]), missed=np.array([1, 2]), wrong=np.array([0, 0]))
    (axes,) = precision_and_recall("kinds", found).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x (4)", "y (2)"]
    precision, recall = (np.asarray(dots.get_offsets())[:, 0] for dots in axes.collections[1:])
    assert precision.tolist() == pytest.approx([1.0, np.nan], nan_ok=True), "y was never answered"
    assert recall.tolist() == [0.75, 0.0]


def test_of_many_labels_those_with_most_mistakes_are_shown() -> None:
    wrong = np.zeros(90, dtype=np.int64)
    wrong[[5, 80]] = 9
    found = LabelCounts(tuple(f"l{i}" for i in range(90)), np.ones(90, np.int64), np.zeros(90, np.int64), wrong)
    (axes,) = precision_and_recall("t", found).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert len(names) == 40
    assert {"l5 (1)", "l80 (1)"} <= set(names)

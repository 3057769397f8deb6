"""Plot of task similarities."""

from __future__ import annotations

import numpy as np
import pytest

from nlpmtl.plots.dendrogram import task_dendrogram

COSINES = np.array([[1.0, 0.1, 0.8, -0.2], [0.1, 1.0, 0.1, 0.5], [0.8, 0.1, 1.0, 0.0], [-0.2, 0.5, 0.0, 1.0]])


def test_similar_tasks_are_joined_at_their_cosine() -> None:
    (axes,) = task_dendrogram(("a", "b", "c", "d"), COSINES).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert {frozenset(names[:2]), frozenset(names[2:])} == {frozenset("ac"), frozenset("bd")}
    joints = sorted(float(min(np.asarray(line.get_xdata()))) for line in axes.lines[:-1])
    assert joints == pytest.approx([(0.1 - 0.2 + 0.1 + 0.0) / 4, 0.5, 0.8])


def test_unknown_cosines_count_as_zero() -> None:
    (axes,) = task_dendrogram(("a", "b"), np.full((2, 2), np.nan)).axes
    assert float(min(np.asarray(axes.lines[0].get_xdata()))) == 0.0

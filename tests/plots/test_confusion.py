"""Plot of the confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from nlpmtl.plots import describe_predictions
from nlpmtl.plots.canvas import PALE
from nlpmtl.plots.confusion import confusion_matrix
from nlpmtl.tasks import Confusion
from tests.slow import slow_except


def contents(figure: Figure) -> tuple[list[str], list[str], np.ndarray]:
    """Return the row names, the printed counts and the cell colours."""
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [text.get_text() for text in axes.get_xticklabels()]
    colours = axes.images[0].get_array()
    assert colours is not None
    return names, [text.get_text() for text in axes.texts], np.asarray(colours)


def test_counts_above_zero_are_printed() -> None:
    figure = confusion_matrix("t", Confusion(("a", "b"), np.array([[7, 2], [0, 4]]), "rows"))
    names, counts, colours = contents(figure)
    assert names == ["a", "b"]
    assert counts == ["7", "2", "4"]
    assert (colours[1, 0] == 1).all(), "white"
    blue, orange = colours[0, 0], colours[0, 1]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_the_most_confused_of_many_labels_are_shown_and_no_row_is_lost() -> None:
    counts = np.diag(np.full(77, 10))
    counts[70, 3] = counts[3, 70] = 9
    counts[20, 55] = 5
    figure = confusion_matrix("t", Confusion(tuple(f"l{i}" for i in range(77)), counts, "rows"))
    names, printed, colours = contents(figure)
    assert len(names) <= 24
    assert names[-1] == "(all others)"
    assert {"l3", "l70", "l20", "l55"} <= set(names)
    assert sum(map(int, printed)) == counts.sum()
    np.testing.assert_allclose(
        colours[-1, -1], to_rgba(PALE), err_msg="others predicted as others may be correct or not"
    )


@pytest.mark.parametrize("count", slow_except([3, 24, 25, 77], 3, 25))
def test_cells_of_many_labels_are_drawn_like_a_matrix(count: int) -> None:
    counts = np.random.default_rng(count).integers(-3, 4, (count, count)).clip(0)
    matrix = Confusion(tuple(f"l{i}" for i in range(count)), counts, "rows")
    cells = Confusion(matrix.labels, matrix.cells(), "rows")
    for ours, expected in zip(*(contents(confusion_matrix("t", each)) for each in (cells, matrix)), strict=True):
        np.testing.assert_array_equal(ours, expected)
    text = describe_predictions("t", cells)
    assert text == describe_predictions("t", matrix)
    assert f"{np.trace(counts):,} of {counts.sum():,} rows correct" in text

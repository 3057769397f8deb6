"""Confusion matrix: true labels as rows, predicted labels as columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLACK, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width
from nlpmtl.tasks import Cells, Confusion

_MAX_LABELS = 24
"""Maximum number of labels in one plot; of more, the most confused ones are shown."""
_MAX_LARGE = 12
"""Maximum number of labels that are drawn with large cells and letters."""
_OTHERS = "(all others)"
_DARK = 0.55
"""Fraction of a row above which a cell is too dark for black letters."""


def confusion_matrix(task: str, confusion: Confusion) -> Figure:
    """Draw one cell per pair of labels with its count, coloured by its fraction of the row.

    Args:
        task: name of the task.
        confusion: its counts.
    """
    names, counts = _most_confused(display_names(confusion.labels), confusion.cells())
    count, complete = len(names), len(names) == len(confusion.labels)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size, name_width = max(2.0, count * (0.45 if count <= _MAX_LARGE else 0.32)), text_width(names)
    horizontal = 1.1 * name_width < size / count  # the names fit next to each other
    selection = "" if complete else f"; the {count - 1} of {len(confusion.labels)} labels with most errors"
    figure = new_figure(
        TICKS + name_width + size + 0.2,
        HEAD + size + TICKS + (0.15 if horizontal else name_width),
        title=f"{task}: confusion matrix",
        subtitle=f"{counts.sum():,} {confusion.unit}; row-normalised; blue = correct, orange = error{selection}",
    )
    axes = add_axes(figure, TICKS + name_width, HEAD, size, size)
    axes.imshow(_colours(fractions, complete=complete), interpolation="nearest")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if fractions[i, j] > _DARK and (complete or i < count - 1) else BLACK
        font_size = SMALL if count <= _MAX_LARGE else SMALL - 1
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=font_size, color=colour)
    axes.set_xticks(range(count), names, rotation=0 if horizontal else 90, fontsize=SMALL)
    axes.set_yticks(range(count), names, fontsize=SMALL)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def _most_confused(names: Sequence[str], cells: Cells) -> tuple[list[str], NDArray[np.int64]]:
    """Return the labels to show, in their order, and their counts; the others are summed up in a last label."""
    kept, shown = list(range(len(names))), list(names)
    if len(names) > _MAX_LABELS:
        kept = sorted(_with_most_errors(cells, len(names)))
        shown = [*(names[i] for i in kept), _OTHERS]
    group = np.full(len(names), len(kept))
    group[kept] = np.arange(len(kept))
    counts = np.zeros((len(shown), len(shown)), dtype=np.int64)
    np.add.at(counts, (group[cells.gold], group[cells.predicted]), cells.counts)
    return shown, counts


def _with_most_errors(cells: Cells, label_count: int) -> set[int]:
    """Return fewer than `_MAX_LABELS` labels: those of the most frequent errors, then the first ones."""
    errors = np.flatnonzero(cells.gold != cells.predicted)
    order = errors[np.argsort(-cells.counts[errors], kind="stable")]
    pairs = zip(cells.gold[order].tolist(), cells.predicted[order].tolist(), strict=True)
    selected: set[int] = set()
    for pair in chain(pairs, ((0, label) for label in range(label_count))):
        extended = selected.union(pair)
        if len(extended) >= _MAX_LABELS:
            break
        selected = extended
    return selected


def _colours(fractions: NDArray[np.float64], *, complete: bool) -> NDArray[np.float64]:
    """Return blue on the diagonal, orange elsewhere, white for 0, ``[labels, labels, 4]``.

    If the last label is a group of others, its diagonal cell is grey: it holds both correct predictions and errors.
    """
    colours = np.array(colormaps["Oranges"](np.sqrt(fractions) * 0.75))  # the root makes a few errors visible
    colours[fractions == 0] = 1.0
    diagonal = range(len(fractions))
    colours[diagonal, diagonal] = colormaps["Blues"](np.diag(fractions) * 0.85)
    if not complete:
        colours[-1, -1] = to_rgba(PALE)
    return colours

"""A confusion matrix: true labels down, predicted ones across, mistakes in another colour than what is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLACK, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width
from nlpmtl.tasks import Confusion

_MOST = 24
"""Labels in one picture; of more, those that are confused most."""
_LARGE = 12
"""Labels up to which squares and letters are large."""
_OTHERS = "(all others)"
_DARK = 0.55
"""The share of a row from which on its square is too dark for black figures."""


def confusion_matrix(task: str, found: Confusion) -> Figure:
    """One square for each pair of labels, with its count, coloured by its share of the row.

    Args:
        task: the task's name.
        found: its counts.
    """
    names, counts = _most_confused(display_names(found.labels), found.counts)
    many, whole = len(names), len(names) == len(found.labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size, long = max(2.0, many * (0.45 if many <= _LARGE else 0.32)), text_width(names)
    lying = 1.1 * long < size / many  # there is room for the names side by side
    some = "" if whole else f"; the {many - 1} of {len(found.labels)} labels most confused"
    figure = new_figure(
        TICKS + long + size + 0.2,
        HEAD + size + TICKS + (0.15 if lying else long),
        title=f"{task}: confusion matrix",
        subtitle=f"{counts.sum():,} {found.unit}; row-normalised; blue = correct, orange = error{some}",
    )
    axes = add_axes(figure, TICKS + long, HEAD, size, size)
    axes.imshow(_colours(shares, whole=whole), interpolation="nearest")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[i, j] > _DARK and (whole or i < many - 1) else BLACK
        letters = SMALL if many <= _LARGE else SMALL - 1
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=letters, color=colour)
    axes.set_xticks(range(many), names, rotation=0 if lying else 90, fontsize=SMALL)
    axes.set_yticks(range(many), names, fontsize=SMALL)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def _most_confused(names: Sequence[str], counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    """The labels to show, in their order, and their counts; what does not fit comes together in a last one."""
    if len(names) <= _MOST:
        return list(names), counts
    chosen: set[int] = set()
    for pair in np.argsort(-_wrong(counts), axis=None, kind="stable"):
        more = chosen | set(map(int, divmod(int(pair), len(names))))
        if len(more) >= _MOST:
            break
        chosen = more
    kept = sorted(chosen)
    rest = [i for i in range(len(names)) if i not in chosen]
    groups = [[i] for i in kept] + [rest]
    summed = np.array([[counts[np.ix_(rows, columns)].sum() for columns in groups] for rows in groups])
    return [*(names[i] for i in kept), _OTHERS], summed


def _wrong(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return counts - np.diag(np.diag(counts))


def _colours(shares: NDArray[np.float64], *, whole: bool) -> NDArray[np.float64]:
    """Blue along the diagonal, orange elsewhere, white where there is nothing, ``[labels, labels, 4]``.

    Where the last label stands for others, what it is answered for may be any of them: grey.
    """
    colours = np.array(colormaps["Oranges"](np.sqrt(shares) * 0.75))  # the root: a few mistakes are to be seen
    colours[shares == 0] = 1.0
    places = range(len(shares))
    colours[places, places] = colormaps["Blues"](np.diag(shares) * 0.85)
    if not whole:
        colours[-1, -1] = to_rgba(PALE)
    return colours

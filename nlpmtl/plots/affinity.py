"""Task affinity: a heat map of the loss change of each task after a step on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLACK, GREY, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width

_MAX_LARGE = 12
"""Maximum number of tasks that are drawn with large cells and letters."""
_DARK = 0.6
"""Fraction of the largest effect above which a cell is too dark for black letters."""


def affinity_map(tasks: Sequence[str], mean: NDArray[np.float64], *, significant: NDArray[np.bool_]) -> Figure:
    """Draw one cell per pair of tasks: the loss reduction of one, in percent, after a step on the other.

    Args:
        tasks: their names, at least two.
        mean: effect of a step on the row task on the loss of the column task, ``[tasks, tasks]``; NaN if unknown.
        significant: whether each effect is significant, ``[tasks, tasks]``; others are grey on white.
    """
    names, count = display_names(tasks), len(tasks)
    size, name_width = max(2.4, count * (0.56 if count <= _MAX_LARGE else 0.36)), text_width(names)
    horizontal = 1.1 * name_width < size / count
    figure = new_figure(
        TICKS + name_width + size + 0.2,
        HEAD + size + TICKS + (0.15 if horizontal else name_width),
        title="Effect of a step on one task on the loss of another",
        subtitle="loss reduction of the column task in %; blue = helps, orange = hurts, white = not significant",
    )
    axes = add_axes(figure, TICKS + name_width, HEAD, size, size)
    off_diagonal = ~np.eye(count, dtype=bool)
    largest = float(np.abs(np.where(significant & off_diagonal, mean, 0.0)).max()) or 1.0
    fractions = np.where(significant, mean, 0.0) / largest
    axes.imshow(_colours(fractions), interpolation="nearest")
    for i in range(count):
        for j in range(count):
            dark = i != j and abs(fractions[i, j]) > _DARK
            colour = "white" if dark else BLACK if significant[i, j] and i != j else GREY
            font_size = SMALL if count <= _MAX_LARGE else SMALL - 2
            axes.text(j, i, _percent(mean[i, j]), ha="center", va="center", fontsize=font_size, color=colour)
    axes.set_xticks(range(count), names, rotation=0 if horizontal else 90, fontsize=SMALL)
    axes.set_yticks(range(count), names, fontsize=SMALL)
    axes.tick_params(length=0)
    axes.set_xlabel("loss of")
    axes.set_ylabel("step on")
    return figure


def _percent(value: float) -> str:
    return f"{100 * value:+z.2f}" if np.isfinite(value) else "?"


def _colours(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return blue above 0, orange below, white at 0, and pale grey on the diagonal, ``[tasks, tasks, 4]``."""
    strength = np.clip(np.abs(fractions), 0, 1) * 0.8
    colours = np.where(fractions[..., None] > 0, colormaps["Blues"](strength), colormaps["Oranges"](strength))
    colours[fractions == 0] = 1.0
    diagonal = range(len(fractions))
    colours[diagonal, diagonal] = to_rgba(PALE)
    return np.asarray(colours, dtype=np.float64)

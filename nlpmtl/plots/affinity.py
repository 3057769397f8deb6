"""What a step on one task does to another: a square for each two tasks, blue where it helps, orange where it hurts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLACK, GREY, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width

_LARGE = 12
"""Tasks up to which squares and letters are large."""
_DARK = 0.6
"""The share of the largest effect from which on its square is too dark for black figures."""


def affinity_map(tasks: Sequence[str], mean: NDArray[np.float64], *, significant: NDArray[np.bool_]) -> Figure:
    """One square for each two tasks, with the percentage by which a step on the one lowers the loss of the other.

    Args:
        tasks: their names, two at least.
        mean: of the task in the line upon the task in the column, ``[tasks, tasks]``; NaN where it is unknown.
        significant: whether each can be told from noise; those that cannot are grey on white.
    """
    names, many = display_names(tasks), len(tasks)
    size, long = max(2.4, many * (0.56 if many <= _LARGE else 0.36)), text_width(names)
    lying = 1.1 * long < size / many
    figure = new_figure(
        TICKS + long + size + 0.2,
        HEAD + size + TICKS + (0.15 if lying else long),
        title="How a step on one task changes the loss of another",
        subtitle="in per cent of it; blue: it falls, orange: it rises, white: not to be told from noise",
    )
    axes = add_axes(figure, TICKS + long, HEAD, size, size)
    others = ~np.eye(many, dtype=bool)
    most = float(np.abs(np.where(significant & others, mean, 0.0)).max()) or 1.0
    shares = np.where(significant, mean, 0.0) / most
    axes.imshow(_colours(shares), interpolation="nearest")
    for i in range(many):
        for j in range(many):
            dark = i != j and abs(shares[i, j]) > _DARK
            colour = "white" if dark else BLACK if significant[i, j] and i != j else GREY
            letters = SMALL if many <= _LARGE else SMALL - 2
            axes.text(j, i, _percent(mean[i, j]), ha="center", va="center", fontsize=letters, color=colour)
    axes.set_xticks(range(many), names, rotation=0 if lying else 90, fontsize=SMALL)
    axes.set_yticks(range(many), names, fontsize=SMALL)
    axes.tick_params(length=0)
    axes.set_xlabel("the loss of")
    axes.set_ylabel("a step on")
    return figure


def _percent(value: float) -> str:
    return f"{100 * value:+.2f}" if np.isfinite(value) else "?"


def _colours(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blue above 0, orange below, white at 0, and pale where a task is beside itself, ``[tasks, tasks, 4]``."""
    strength = np.clip(np.abs(shares), 0, 1) * 0.8
    colours = np.where(shares[..., None] > 0, colormaps["Blues"](strength), colormaps["Oranges"](strength))
    colours[shares == 0] = 1.0
    places = range(len(shares))
    colours[places, places] = to_rgba(PALE)
    return np.asarray(colours, dtype=np.float64)

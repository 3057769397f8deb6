"""Lines over training steps: panels, colours, dashes, markers, smoothing and downsampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nlpmtl.plots.canvas import AMBER, BLUE, GREEN, ORANGE, PALE, PINK, SKY, SMALL, TICKS, add_axes, text_width

_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_LEFT, _WIDTH, _HEIGHT, _TITLE = 0.75, 5.0, 2.05, 0.35
"""Margin for ticks and axis title, and width, height and height of the title of a panel, in inches."""
_LINE = 0.55
"""Width of a line and of its margins in a legend, in inches."""
_MAX_POINTS = 300
"""Maximum number of points of a line; more would not be visible."""

LineStyles = Mapping[str, Mapping[str, Any]]
"""Arguments of `Axes.plot` for the line of each name."""


def step_panels(count: int, *, names: Sequence[str], font_size: float = SMALL) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels below each other over the same steps, and its panels from top to bottom.

    Args:
        count: number of panels.
        names: names in the legends, for which the figure has a margin on the right.
        font_size: font size of the legends in points.
    """
    panel = _TITLE + _HEIGHT
    width = _LEFT + _WIDTH + _LINE + text_width(names, size=font_size)
    figure = Figure(figsize=(width, count * panel + TICKS + 0.1))
    panels = [add_axes(figure, _LEFT, i * panel + _TITLE, _WIDTH, _HEIGHT) for i in range(count)]
    for axes in panels[:-1]:
        axes.sharex(panels[-1])
        axes.tick_params(labelbottom=False)
    for axes in panels:
        axes.grid(axis="y", color=PALE, linewidth=0.6)
        axes.set_axisbelow(True)
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, panels


def line_styles(names: Sequence[str]) -> LineStyles:
    """Return a distinct colour and dash pattern for each name."""
    return {
        name: {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}
        for i, name in enumerate(names)
    }


def markers(count: int) -> dict[str, Any]:
    """Return markers for up to 40 points; without them, a line of one point would be invisible."""
    return {"marker": "o", "markersize": 3.5} if count <= 40 else {}


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return means over the last `window` values, ``[len(values) - window + 1]``."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means


def downsample(count: int) -> NDArray[np.int64]:
    """Return the indices of the points to draw: all, or evenly spaced ones that include the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, _MAX_POINTS)).round().astype(np.int64))

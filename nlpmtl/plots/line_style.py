"""Lines over the steps of a run: their colours, their points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.plots.canvas import AMBER, BLUE, GREEN, ORANGE, PINK, SKY

_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_POINTS = 300
"""Of a line; more could not be told apart."""

LineStyles = Mapping[str, Mapping[str, Any]]
"""How the line of each name is drawn."""


def line_styles(names: Sequence[str]) -> LineStyles:
    """LineStyles that can be told apart, in the order of the names."""
    return {
        name: {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}
        for i, name in enumerate(names)
    }


def markers(many: int) -> dict[str, Any]:
    """Marks for points that are so few that each can be seen; a line of one point would be none."""
    return {"marker": "o", "markersize": 3.5} if many <= 40 else {}


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means over the last values, ``[len(values) - window + 1]``."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means


def downsample(many: int) -> NDArray[np.int64]:
    """Which of so many points to draw: all, or as many as can be told apart, the first and the last among them."""
    return np.unique(np.linspace(0, many - 1, min(many, _POINTS)).round().astype(np.int64))

"""Lines over training steps: colours, dashes, markers, smoothing and downsampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.plots.canvas import AMBER, BLUE, GREEN, ORANGE, PINK, SKY

_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_MAX_POINTS = 300
"""Maximum number of points of a line; more would not be visible."""

LineStyles = Mapping[str, Mapping[str, Any]]
"""Arguments of `Axes.plot` for the line of each name."""


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

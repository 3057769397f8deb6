"""Predicted versus true values of a regression task."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from nlpmtl.plots.canvas import BLUE, GREY, HEAD, PALE, SMALL, add_axes, new_figure
from nlpmtl.tasks import RegressionPairs

_MAX_POINTS = 3000
"""Maximum number of points in one plot; of more, every k-th is drawn."""


def scatter_plot(task: str, pairs: RegressionPairs) -> Figure:
    """Draw one point per row, and the diagonal of correct predictions.

    Args:
        task: name of the task.
        pairs: its true and predicted values.
    """
    finite = np.flatnonzero(np.isfinite(pairs.gold) & np.isfinite(pairs.predicted))
    rows = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), _MAX_POINTS)).round().astype(np.int64))]
    selection = "" if len(rows) == len(pairs.gold) else f"; {len(rows):,} of {len(pairs.gold):,} rows"
    figure = new_figure(
        5.6,
        HEAD + 4.8,
        title=f"{task}: predictions",
        subtitle=f"one point per row; on the diagonal = correct{selection}",
    )
    axes = add_axes(figure, 0.8, HEAD, 4.2, 4.2)
    values = np.stack([pairs.gold[rows], pairs.predicted[rows]])
    margin = max(0.04 * np.ptp(values), 0.01) if len(rows) else 0.0
    limits = (values.min() - margin, values.max() + margin) if len(rows) else (0.0, 1.0)
    axes.plot(limits, limits, color=GREY, linewidth=1, zorder=1)
    axes.scatter(values[0], values[1], s=14, color=BLUE, alpha=0.35, linewidths=0, zorder=2)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    return figure

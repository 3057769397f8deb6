"""Answered numbers over those that are right."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from nlpmtl.plots.canvas import BLUE, GREY, HEAD, PALE, SMALL, add_axes, new_figure
from nlpmtl.tasks import RegressionPairs

_MOST = 3000
"""Points in one picture; of more, every so manieth."""


def scatter_plot(task: str, found: RegressionPairs) -> Figure:
    """One point a row, and the line on which answers are right.

    Args:
        task: the task's name.
        found: its numbers.
    """
    finite = np.flatnonzero(np.isfinite(found.gold) & np.isfinite(found.predicted))
    rows = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), _MOST)).round().astype(np.int64))]
    some = "" if len(rows) == len(found.gold) else f"; {len(rows):,} of {len(found.gold):,} rows"
    figure = new_figure(
        5.6, HEAD + 4.8, title=f"{task}: answers", subtitle=f"one point a row; on the line, it is right{some}"
    )
    axes = add_axes(figure, 0.8, HEAD, 4.2, 4.2)
    both = np.stack([found.gold[rows], found.predicted[rows]])
    margin = max(0.04 * np.ptp(both), 0.01) if len(rows) else 0.0
    ends = (both.min() - margin, both.max() + margin) if len(rows) else (0.0, 1.0)
    axes.plot(ends, ends, color=GREY, linewidth=1, zorder=1)
    axes.scatter(both[0], both[1], s=14, color=BLUE, alpha=0.35, linewidths=0, zorder=2)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    return figure

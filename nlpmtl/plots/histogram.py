"""Histogram of a quantity of each row, such as the chrF of a generated text."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from nlpmtl.plots.canvas import BLUE, HEAD, PALE, SMALL, TICKS, add_axes, new_figure, text_width
from nlpmtl.tasks import Histogram


def histogram(task: str, counts: Histogram) -> Figure:
    """Draw a bar for each bin, with its number of rows.

    Args:
        task: name of the task.
        counts: its counts.
    """
    left, height = 0.3 + text_width(counts.bins), 0.24 * len(counts.bins)
    figure = new_figure(
        left + 4.6,
        HEAD + height + TICKS + 0.15,
        title=f"{task}: {counts.quantity}",
        subtitle=f"number of rows; {counts.counts.sum():,} in all",
    )
    axes = add_axes(figure, left, HEAD, 3.6, height)
    y = np.arange(len(counts.bins))
    bars = axes.barh(y, counts.counts, height=0.7, color=BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in counts.counts], padding=3, fontsize=SMALL)
    axes.set_yticks(y, counts.bins, fontsize=SMALL)
    axes.set_ylim(len(counts.bins) - 0.4, -0.6)
    axes.set_xlim(0, max(1, counts.counts.max()))
    axes.set_xlabel("rows")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    return figure

"""Tasks as the leaves of a tree: the more alike their gradients, the sooner their branches meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from nlpmtl.plots.canvas import BLUE, GREY, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width

_LEAF = 10
"""Units of scipy's between two leaves."""
_LINE = 0.3
"""Inches from one leaf to the next."""


def task_tree(tasks: Sequence[str], cosines: NDArray[np.float64]) -> Figure:
    """A dendrogram, by average linkage of the distance 1 − cosine.

    Args:
        tasks: their names, two at least.
        cosines: between their gradients, ``[tasks, tasks]``; NaN, which is taken for 0, where they are unknown.
    """
    names = display_names(tasks)
    apart = 1.0 - np.clip(np.nan_to_num((cosines + cosines.T) / 2), -1.0, 1.0)
    np.fill_diagonal(apart, 0.0)
    found = dendrogram(linkage(squareform(apart, checks=False), method="average"), no_plot=True)
    long, high = text_width(names), max(1.0, _LINE * len(names))
    figure = new_figure(
        0.2 + 4.0 + 0.1 + long + 0.2,
        HEAD + high + TICKS + 0.2,
        title="Tasks by the directions of their gradients",
        subtitle="branches meet at the mean cosine between their tasks; dotted: at right angles",
    )
    axes = add_axes(figure, 0.2, HEAD, 4.0, high)
    for heights, leaves in zip(found["dcoord"], found["icoord"], strict=True):
        axes.plot(1.0 - np.array(heights), (np.array(leaves) - _LEAF / 2) / _LEAF, color=BLUE, linewidth=1.6)
    axes.axvline(0.0, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    axes.set_xlim(min(-0.05, 1.0 - float(apart.max()) - 0.05), 1.0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [names[i] for i in found["leaves"]], fontsize=SMALL)
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("cosine between gradients")
    return figure

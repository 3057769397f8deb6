"""Dendrogram of tasks, clustered by the similarity of their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from nlpmtl.plots.canvas import BLUE, GREY, HEAD, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width

_LEAF_DISTANCE = 10
"""Distance between two leaves in the coordinates of scipy."""
_LINE_HEIGHT = 0.3
"""Distance between two leaves in inches."""


def task_dendrogram(tasks: Sequence[str], cosines: NDArray[np.float64]) -> Figure:
    """Draw a dendrogram by average linkage of the distance 1 − cosine.

    Args:
        tasks: their names, at least two.
        cosines: cosine similarity of their gradients, ``[tasks, tasks]``; NaN (unknown) counts as 0.
    """
    names = display_names(tasks)
    distances = 1.0 - np.clip(np.nan_to_num((cosines + cosines.T) / 2), -1.0, 1.0)
    np.fill_diagonal(distances, 0.0)
    tree = dendrogram(linkage(squareform(distances, checks=False), method="average"), no_plot=True)
    name_width, height = text_width(names), max(1.0, _LINE_HEIGHT * len(names))
    figure = new_figure(
        0.2 + 4.0 + 0.1 + name_width + 0.2,
        HEAD + height + TICKS + 0.2,
        title="Tasks clustered by gradient similarity",
        subtitle="clusters are joined at the mean cosine between their tasks; dotted = orthogonal",
    )
    axes = add_axes(figure, 0.2, HEAD, 4.0, height)
    for heights, leaves in zip(tree["dcoord"], tree["icoord"], strict=True):
        positions = (np.array(leaves) - _LEAF_DISTANCE / 2) / _LEAF_DISTANCE
        axes.plot(1.0 - np.array(heights), positions, color=BLUE, linewidth=1.6)
    axes.axvline(0.0, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    axes.set_xlim(min(-0.05, 1.0 - float(distances.max()) - 0.05), 1.0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [names[i] for i in tree["leaves"]], fontsize=SMALL)
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("cosine similarity of gradients")
    return figure

"""Precision and recall of each label, for sets of labels."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLUE, HEAD, ORANGE, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width
from nlpmtl.tasks import LabelCounts

_MOST = 40
"""Labels in one picture; of more, those of which most is missed or wrong."""


def precision_and_recall(task: str, found: LabelCounts) -> Figure:
    """Two marks on a line for each label; one that is undefined is left out.

    Args:
        task: the task's name.
        found: its counts.
    """
    mistakes = found.missed + found.wrong
    kept = np.sort(np.argsort(-mistakes, kind="stable")[:_MOST])
    every = display_names(found.labels)
    rows = found.found + found.missed
    names = [f"{every[i]} ({rows[i]})" for i in kept]
    some = "" if len(kept) == len(every) else f"; the {len(kept)} of {len(every)} labels with most mistakes"
    margin, high = 0.2 + text_width(names), max(1.0, 0.21 * len(kept))
    figure = new_figure(
        margin + 4.2,
        HEAD + 0.3 + high + TICKS + 0.15,
        title=f"{task}: precision and recall",
        subtitle=f"of each label; in brackets, the rows that have it{some}",
    )
    axes = add_axes(figure, margin, HEAD + 0.3, 4.0, high)
    hits, places = found.found[kept], np.arange(len(kept))
    precision = _share(hits, hits + found.wrong[kept])
    recall = _share(hits, rows[kept])
    axes.hlines(places, precision, recall, color=PALE, linewidth=2.5, zorder=1)
    axes.scatter(precision, places, s=30, color=BLUE, marker="o", label="precision", zorder=3)
    axes.scatter(recall, places, s=30, color=ORANGE, marker="D", label="recall", zorder=2)
    axes.set_yticks(places, names, fontsize=SMALL)
    axes.set_ylim(len(kept) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return figure


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return shares

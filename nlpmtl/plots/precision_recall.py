"""Precision and recall of each label of a multi-label task."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLUE, HEAD, ORANGE, PALE, SMALL, TICKS, add_axes, display_names, new_figure, text_width
from nlpmtl.tasks import LabelCounts

_MAX_LABELS = 40
"""Maximum number of labels in one plot; of more, those with most errors are shown."""


def precision_and_recall(task: str, counts: LabelCounts) -> Figure:
    """Draw a marker for precision and one for recall per label; undefined values are omitted.

    Args:
        task: name of the task.
        counts: its counts.
    """
    errors = counts.false_negatives + counts.false_positives
    selected = np.sort(np.argsort(-errors, kind="stable")[:_MAX_LABELS])
    labels = display_names(counts.labels)
    gold_counts = counts.true_positives + counts.false_negatives
    names = [f"{labels[i]} ({gold_counts[i]})" for i in selected]
    complete = len(selected) == len(labels)
    selection = "" if complete else f"; the {len(selected)} of {len(labels)} labels with most errors"
    left, height = 0.2 + text_width(names), max(1.0, 0.21 * len(selected))
    figure = new_figure(
        left + 4.2,
        HEAD + 0.3 + height + TICKS + 0.15,
        title=f"{task}: precision and recall",
        subtitle=f"per label; number of {counts.unit} with it in brackets{selection}",
    )
    axes = add_axes(figure, left, HEAD + 0.3, 4.0, height)
    true_positives, y = counts.true_positives[selected], np.arange(len(selected))
    precision = _ratio(true_positives, true_positives + counts.false_positives[selected])
    recall = _ratio(true_positives, gold_counts[selected])
    axes.hlines(y, precision, recall, color=PALE, linewidth=2.5, zorder=1)
    axes.scatter(precision, y, s=30, color=BLUE, marker="o", label="precision", zorder=3)
    axes.scatter(recall, y, s=30, color=ORANGE, marker="D", label="recall", zorder=2)
    axes.set_yticks(y, names, fontsize=SMALL)
    axes.set_ylim(len(selected) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("value")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return figure


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratios: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratios

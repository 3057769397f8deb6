"""Reliability diagram (Guo et al., 2017): accuracy of predictions by confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlpmtl.plots.canvas import BLUE, GREY, HEAD, PALE, SMALL, add_axes, new_figure

_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Predictions of a task in bins of equal width.

    Args:
        counts: number of predictions, ``[bins]``.
        confidence: their mean confidence, ``[bins]``; NaN for an empty bin.
        accuracy: fraction of them that is correct, ``[bins]``; NaN for an empty bin.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @classmethod
    def from_predictions(cls, confidences: NDArray[np.floating], correct: NDArray[np.bool_]) -> Reliability:
        """Count predictions; the arguments are the confidence of each, and whether it is correct, ``[items]``."""
        bins = np.clip(np.ceil(confidences * _BINS).astype(int) - 1, 0, _BINS - 1)
        counts = np.bincount(bins, minlength=_BINS)
        means = [
            np.divide(
                np.bincount(bins, weights=values, minlength=_BINS), counts, out=np.full(_BINS, np.nan), where=counts > 0
            )
            for values in (confidences, correct)
        ]
        return cls(counts, *means)


def reliability_diagram(task: str, reliability: Reliability) -> Figure:
    """Draw the accuracy in each bin, the diagonal of perfect calibration, and the number of predictions.

    Args:
        task: name of the task.
        reliability: its predictions in bins.
    """
    figure = new_figure(
        4.6,
        HEAD + 3.7,
        title=f"{task}: reliability",
        subtitle=f"{reliability.counts.sum():,} predictions by confidence; on the diagonal = calibrated",
    )
    axes = add_axes(figure, 0.8, HEAD, 3.5, 2.3)
    counts = add_axes(figure, 0.8, HEAD + 2.4, 3.5, 0.75)
    occupied = reliability.counts > 0
    centers = (np.arange(_BINS) + 0.5) / _BINS
    axes.bar(centers[occupied], reliability.accuracy[occupied], width=0.9 / _BINS, color=PALE, zorder=1)
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=1, zorder=2)
    axes.plot(
        reliability.confidence[occupied], reliability.accuracy[occupied], "o-", color=BLUE, markersize=4, zorder=3
    )
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")
    axes.tick_params(labelbottom=False)
    counts.bar(centers, reliability.counts, width=0.9 / _BINS, color=BLUE)
    counts.set_ylabel("predictions")
    counts.set_xlabel("confidence")
    for panel in (axes, counts):
        panel.set_xlim(0, 1)
        panel.tick_params(labelsize=SMALL)
        panel.set_axisbelow(True)
    return figure

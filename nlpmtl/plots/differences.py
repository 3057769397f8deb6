"""Differences between two ways to learn the same tasks, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from nlpmtl.plots.canvas import (
    BLUE,
    GREY,
    HEAD,
    ORANGE,
    PALE,
    SMALL,
    TICKS,
    add_axes,
    display_names,
    new_figure,
    text_width,
)


@dataclass(frozen=True)
class ScoreDifference:
    """What a task gained or lost.

    Args:
        task: its name.
        alone: the score of the task alone.
        mixture: the score in the mixture.
        interval: of the difference, mixture − alone.
    """

    task: str
    alone: float
    mixture: float
    interval: tuple[float, float]

    @property
    def value(self) -> float:
        """Mixture − alone."""
        return self.mixture - self.alone

    @property
    def colour(self) -> str:
        """By what its interval says: better, worse, or neither."""
        low, high = self.interval
        return BLUE if low > 0 else ORANGE if high < 0 else GREY


def score_differences(found: Sequence[ScoreDifference], *, subtitle: str) -> Figure:
    """A point and its interval for each task, right of zero where the mixture is better.

    Args:
        found: the tasks, in this order.
        subtitle: the line below the title.
    """
    names = display_names([one.task for one in found])
    scores = [f"{one.alone:.3f} → {one.mixture:.3f}" for one in found]
    left, right, high = (
        0.2 + text_width(names),
        0.25 + text_width([*scores, "alone → mixture"]),
        max(1.0, 0.26 * len(found)),
    )
    figure = new_figure(
        left + 4.0 + right, HEAD + high + TICKS + 0.15, title="The mixture beside each task alone", subtitle=subtitle
    )
    axes = add_axes(figure, left, HEAD, 4.0, high)
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    for at, one in enumerate(found):
        axes.hlines(at, *one.interval, color=one.colour, linewidth=2, zorder=2)
        axes.plot([one.value], [at], marker="o", markersize=5, color=one.colour, zorder=3)
    for at, text in enumerate(scores):
        axes.annotate(text, (1.03, at), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL, color=GREY)
    axes.annotate("alone → mixture", (1.03, 1.02), xycoords="axes fraction", va="bottom", fontsize=SMALL, color=GREY)
    axes.set_yticks(range(len(found)), names, fontsize=SMALL)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.06)
    axes.set_xlabel("score of the mixture − score alone")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=SMALL)
    return figure

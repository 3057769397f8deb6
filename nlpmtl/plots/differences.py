"""Multi-task versus single-task scores: the difference of each task with its confidence interval."""

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

_SCORES = "single-task → multi-task"


@dataclass(frozen=True)
class ScoreDifference:
    """Score of a task in multi-task and in single-task training.

    Args:
        task: name of the task.
        single_task: score of the single-task baseline.
        multi_task: score of the multi-task model.
        interval: confidence interval of the difference multi_task − single_task, if there is one.
    """

    task: str
    single_task: float
    multi_task: float
    interval: tuple[float, float] | None

    @property
    def value(self) -> float:
        """The difference multi_task − single_task."""
        return self.multi_task - self.single_task

    @property
    def colour(self) -> str:
        """Blue for significantly better, orange for significantly worse, else grey."""
        low, high = self.interval or (0.0, 0.0)
        return BLUE if low > 0 else ORANGE if high < 0 else GREY


def score_differences(differences: Sequence[ScoreDifference], *, subtitle: str) -> Figure:
    """Draw one point per task with its interval; right of 0, the multi-task model is better.

    Args:
        differences: one per task, in the order of the plot.
        subtitle: the line below the title.
    """
    names = display_names([difference.task for difference in differences])
    scores = [f"{difference.single_task:.3f} → {difference.multi_task:.3f}" for difference in differences]
    left, right = 0.2 + text_width(names), 0.25 + text_width([*scores, _SCORES])
    height = max(1.0, 0.26 * len(differences))
    figure = new_figure(
        left + 4.0 + right,
        HEAD + height + TICKS + 0.15,
        title="Multi-task versus single-task scores",
        subtitle=subtitle,
    )
    axes = add_axes(figure, left, HEAD, 4.0, height)
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    for y, (difference, text) in enumerate(zip(differences, scores, strict=True)):
        if difference.interval is not None:
            axes.hlines(y, *difference.interval, color=difference.colour, linewidth=2, zorder=2)
        axes.plot([difference.value], [y], marker="o", markersize=5, color=difference.colour, zorder=3)
        axes.annotate(text, (1.03, y), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL, color=GREY)
    axes.annotate(_SCORES, (1.03, 1.02), xycoords="axes fraction", va="bottom", fontsize=SMALL, color=GREY)
    axes.set_yticks(range(len(differences)), names, fontsize=SMALL)
    axes.set_ylim(len(differences) - 0.4, -0.6)
    axes.margins(x=0.06)
    axes.set_xlabel("multi-task score − single-task score")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=SMALL)
    return figure

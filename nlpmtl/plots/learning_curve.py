"""Learning curve: train loss and validation score of each task over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nlpmtl.plots.canvas import BLACK, GREY, SMALL
from nlpmtl.plots.line_style import LineStyles, downsample, line_styles, markers, moving_average, step_panels

_MEAN = "mean of tasks"
_MIN_LOSS = 1e-6
"""Smallest loss on the log scale; losses below it, such as 0, are drawn there."""


def learning_curve(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> Figure:
    """Draw a panel of losses and, if there are evaluations, one of scores.

    Args:
        metrics: the lines of metrics.jsonl, at least one.
        evaluations: the lines of evaluations.jsonl.
        tasks: names of the tasks, in the order of the legend.
        step: step of the selected checkpoint.
    """
    styles, selected = line_styles(tasks), f"selected: step {step}"
    size = SMALL if len(tasks) <= 14 else 6
    figure, panels = step_panels(2 if evaluations else 1, names=[*tasks, _MEAN, selected], font_size=size)
    _losses(panels[0], metrics, styles)
    if evaluations:
        _scores(panels[1], evaluations, styles)
    for panel in panels:
        panel.axvline(step, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0, label=selected)
    entries = {name: line for panel in panels for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries, loc="upper right", frameon=False, fontsize=size, handlelength=2.4)
    return figure


def _losses(axes: Axes, metrics: Sequence[Mapping[str, Any]], styles: LineStyles) -> None:
    longest = 1
    for task, line_style in styles.items():
        points = [(line["step"], line["losses"][task]) for line in metrics if line["losses"].get(task) is not None]
        if not points:
            continue
        window = max(1, len(points) // 20)
        longest = max(longest, window)
        steps, losses = np.array(points, dtype=np.float64).T
        losses = np.maximum(moving_average(losses, window), _MIN_LOSS)
        indices = downsample(len(losses))
        axes.plot(
            steps[window - 1 :][indices],
            losses[indices],
            label=task,
            linewidth=1.4,
            **line_style,
            **markers(len(indices)),
        )
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top > 10 * bottom else (1, 1.5, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("loss (log scale)")
    mean = f", moving average over up to {longest} steps" if longest > 1 else ""
    axes.set_title(f"Train loss{mean}", loc="left", fontsize=10)


def _scores(axes: Axes, evaluations: Sequence[Mapping[str, Any]], styles: LineStyles) -> None:
    steps = [line["step"] for line in evaluations]
    marker = markers(len(steps))
    for task, line_style in styles.items():
        if task in evaluations[0]["tasks"]:
            values = [line["tasks"][task]["score"] for line in evaluations]
            axes.plot(steps, values, label=task, linewidth=1.2, **line_style, **marker)
    axes.plot(steps, [line["mean"] for line in evaluations], label=_MEAN, color=BLACK, linewidth=2, **marker)
    axes.set_ylabel("score")
    axes.set_title("Validation score", loc="left", fontsize=10)

"""The learning curve: the loss of each task in train, and its score on validation, over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from nlpmtl.plots.canvas import BLACK, GREY, PALE
from nlpmtl.plots.line_style import LineStyles, downsample, line_styles, markers, moving_average

_LEAST_LOSS = 1e-6
"""What a log scale shows for less, such as 0."""


def learning_curve(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> Figure:
    """Two panels over the same steps; one where nothing was evaluated.

    Args:
        metrics: the lines of metrics.jsonl, at least one.
        evaluations: the lines of evaluations.jsonl.
        tasks: in this order.
        step: whose weights were kept.
    """
    looks = line_styles(tasks)
    many = 2 if evaluations else 1
    figure = Figure(figsize=(7.4, 2.7 * many), layout="constrained")
    panels: list[Axes] = list(figure.subplots(many, 1, sharex=True, squeeze=False)[:, 0])
    _losses(panels[0], metrics, looks)
    if evaluations:
        _scores(panels[1], evaluations, looks)
    for panel in panels:
        panel.axvline(step, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0, label=f"kept: step {step}")
        panel.grid(axis="y", color=PALE, linewidth=0.6)
        panel.set_axisbelow(True)
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    entries = {name: line for panel in panels for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    size = 8 if len(entries) <= 16 else 6
    figure.legend(entries.values(), entries, loc="outside right upper", frameon=False, fontsize=size, handlelength=2.4)
    return figure


def _losses(axes: Axes, metrics: Sequence[Mapping[str, Any]], looks: LineStyles) -> None:
    longest = 1
    for task, look in looks.items():
        found = [(line["step"], line["losses"][task]) for line in metrics if line["losses"].get(task) is not None]
        if not found:
            continue
        window = max(1, len(found) // 20)
        longest = max(longest, window)
        steps, losses = np.array(found, dtype=np.float64).T
        losses = np.maximum(moving_average(losses, window), _LEAST_LOSS)
        few = downsample(len(losses))
        axes.plot(steps[window - 1 :][few], losses[few], label=task, linewidth=1.4, **look, **markers(len(few)))
    axes.set_yscale("log")
    least, most = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most > 10 * least else (1, 1.5, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("loss (log scale)")
    mean = f", running mean of up to {longest} steps" if longest > 1 else ""
    axes.set_title(f"Loss on train{mean}", loc="left", fontsize=10)


def _scores(axes: Axes, evaluations: Sequence[Mapping[str, Any]], looks: LineStyles) -> None:
    steps = [line["step"] for line in evaluations]
    marks = markers(len(steps))
    for task, look in looks.items():
        if task in evaluations[0]["tasks"]:
            values = [line["tasks"][task]["score"] for line in evaluations]
            axes.plot(steps, values, label=task, linewidth=1.2, **look, **marks)
    axes.plot(steps, [line["mean"] for line in evaluations], label="mean of tasks", color=BLACK, linewidth=2, **marks)
    axes.set_ylabel("score")
    axes.set_title("Score on validation", loc="left", fontsize=10)

"""What a run chose on its way: how often it drew each dataset, and what each task weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nlpmtl.plots.canvas import PALE
from nlpmtl.plots.line_style import downsample, line_styles, markers, moving_average

PANELS = {"sampling": ("Share of the draws", "share"), "weights": ("Weight in the loss", "weight")}
"""Keys of metrics.jsonl: the title of their panel, and what its axis says."""


def training_dynamics(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel for each of what was told.

    Args:
        metrics: the lines of metrics.jsonl, with "sampling" or "weights" in the first.
    """
    told = [key for key in PANELS if key in metrics[0]]
    figure = Figure(figsize=(7.4, 2.7 * len(told)), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(told), 1, sharex=True, squeeze=False)[:, 0])
    for panel, key in zip(panels, told, strict=True):
        longest = _draw(panel, metrics, key)
        mean = f", running mean of up to {longest} steps" if longest > 1 else ""
        panel.set_title(f"{PANELS[key][0]}{mean}", loc="left", fontsize=10)
        panel.set_ylabel(PANELS[key][1])
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", color=PALE, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, handlelength=2.4)
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(axes: Axes, metrics: Sequence[Mapping[str, Any]], key: str) -> int:
    """A line for each name; how many steps a mean is of comes back."""
    longest = 1
    for name, look in line_styles(list(dict.fromkeys(name for line in metrics for name in line[key]))).items():
        found = [(line["step"], line[key][name]) for line in metrics if line[key].get(name) is not None]
        if not found:  # null at every step: no number was finite
            continue
        window = max(1, len(found) // 20)
        longest = max(longest, window)
        steps, values = np.array(found, dtype=np.float64).T
        few = downsample(len(values) - window + 1)
        drawn = moving_average(values, window)[few]
        axes.plot(steps[window - 1 :][few], drawn, label=name, linewidth=1.4, **look, **markers(len(few)))
    return longest

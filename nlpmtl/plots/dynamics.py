"""Training dynamics: sampling probability of each dataset and loss weight of each task over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nlpmtl.plots.canvas import SMALL
from nlpmtl.plots.line_style import downsample, line_styles, markers, moving_average, step_panels

PANELS = {"sampling": ("Sampling probability", "probability"), "weights": ("Loss weight", "weight")}
"""Title and y-axis label of the panel of each key of metrics.jsonl."""


def training_dynamics(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw one panel per key of `PANELS` in the metrics.

    Args:
        metrics: the lines of metrics.jsonl, with "sampling" or "weights" in the first.
    """
    keys = [key for key in PANELS if key in metrics[0]]
    size = SMALL if max(len(_names(metrics, key)) for key in keys) <= 12 else 6
    names = [name for key in keys for name in _names(metrics, key)]
    figure, panels = step_panels(len(keys), names=names, font_size=size)
    for panel, key in zip(panels, keys, strict=True):
        window = _draw(panel, metrics, key)
        mean = f", moving average over up to {window} steps" if window > 1 else ""
        panel.set_title(f"{PANELS[key][0]}{mean}", loc="left", fontsize=10)
        panel.set_ylabel(PANELS[key][1])
        panel.set_ylim(bottom=0)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=size, handlelength=2.4)
    return figure


def _draw(axes: Axes, metrics: Sequence[Mapping[str, Any]], key: str) -> int:
    """Draw one line per name, and return the longest window of the moving averages."""
    longest = 1
    for name, line_style in line_styles(_names(metrics, key)).items():
        points = [(line["step"], line[key][name]) for line in metrics if line[key].get(name) is not None]
        if not points:  # null at every step: no value was finite
            continue
        window = max(1, len(points) // 20)
        longest = max(longest, window)
        steps, values = np.array(points, dtype=np.float64).T
        indices = downsample(len(values) - window + 1)
        means = moving_average(values, window)[indices]
        axes.plot(steps[window - 1 :][indices], means, label=name, linewidth=1.4, **line_style, **markers(len(indices)))
    return longest


def _names(metrics: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(name for line in metrics for name in line[key]))

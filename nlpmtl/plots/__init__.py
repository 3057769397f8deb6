"""Plots as PNG files: learning curves, training dynamics, predictions, score differences and task affinity."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nlpmtl.plots.affinity import affinity_map
from nlpmtl.plots.alt_text import (
    describe_confusion,
    describe_dynamics,
    describe_histogram,
    describe_learning_curve,
    describe_precision_recall,
    describe_reliability,
    describe_scatter,
    describe_score_differences,
)
from nlpmtl.plots.canvas import plot_style, to_png
from nlpmtl.plots.confusion import confusion_matrix
from nlpmtl.plots.dendrogram import task_dendrogram
from nlpmtl.plots.differences import ScoreDifference, score_differences
from nlpmtl.plots.dynamics import PANELS, training_dynamics
from nlpmtl.plots.histogram import histogram
from nlpmtl.plots.learning_curve import learning_curve
from nlpmtl.plots.precision_recall import precision_and_recall
from nlpmtl.plots.reliability import Reliability, reliability_diagram
from nlpmtl.plots.scatter import scatter_plot
from nlpmtl.tasks import Confusion, ErrorAnalysis, Histogram, LabelCounts, RegressionPairs

__all__ = [
    "Reliability",
    "ScoreDifference",
    "describe_dynamics",
    "describe_learning_curve",
    "describe_predictions",
    "describe_reliability",
    "describe_score_differences",
    "draw_affinity",
    "draw_dendrogram",
    "draw_dynamics",
    "draw_learning_curve",
    "draw_predictions",
    "draw_reliability",
    "draw_score_differences",
    "learning_curve_image",
]

_PREDICTION_PLOTS: Mapping[type, tuple[Any, Any]] = {
    Confusion: (confusion_matrix, describe_confusion),
    LabelCounts: (precision_and_recall, describe_precision_recall),
    RegressionPairs: (scatter_plot, describe_scatter),
    Histogram: (histogram, describe_histogram),
}
"""Drawing function and alt text of each type that `Task.error_analysis` returns."""


def draw_learning_curve(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> bytes:
    """Draw the learning curve; for the arguments, see `learning_curve`."""
    with plot_style():
        return to_png(learning_curve(metrics, evaluations, tasks=tasks, step=step))


def learning_curve_image(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> Image.Image:
    """Return the learning curve as an image; for the arguments, see `learning_curve`."""
    return Image.open(io.BytesIO(draw_learning_curve(metrics, evaluations, tasks=tasks, step=step)))


def draw_dynamics(metrics: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Draw the sampling probabilities and loss weights of a run; None if both are constant."""
    if not any(key in metrics[0] for key in PANELS):
        return None
    with plot_style():
        return to_png(training_dynamics(metrics))


def draw_predictions(task: str, analysis: ErrorAnalysis) -> bytes:
    """Draw the predictions of a task compared with its gold labels.

    Args:
        task: name of the task.
        analysis: the counts or pairs that the plot shows, as `Task.error_analysis` returns them; their type decides
            which plot it is.

    Raises:
        TypeError: no plot shows this type.
    """
    draw, _ = _prediction_plot(analysis)
    with plot_style():
        return to_png(draw(task, analysis))


def describe_predictions(task: str, analysis: ErrorAnalysis) -> str:
    """Return the alt text of a plot of predictions; for the arguments, see `draw_predictions`."""
    _, describe = _prediction_plot(analysis)
    text: str = describe(task, analysis)
    return text


def _prediction_plot(analysis: Any) -> tuple[Any, Any]:
    for kind, plot in _PREDICTION_PLOTS.items():
        if isinstance(analysis, kind):
            return plot
    known = ", ".join(kind.__name__ for kind in _PREDICTION_PLOTS)
    raise TypeError(f"`error_analysis` must return one of {known}; found {type(analysis).__name__}")


def draw_reliability(task: str, reliability: Reliability) -> bytes:
    """Draw a reliability diagram; for the arguments, see `reliability_diagram`."""
    with plot_style():
        return to_png(reliability_diagram(task, reliability))


def draw_score_differences(differences: Sequence[ScoreDifference], *, subtitle: str) -> bytes:
    """Draw multi-task versus single-task scores; for the arguments, see `score_differences`."""
    with plot_style():
        return to_png(score_differences(differences, subtitle=subtitle))


def draw_affinity(tasks: Sequence[str], mean: NDArray[np.float64], *, significant: NDArray[np.bool_]) -> bytes:
    """Draw the affinity of each pair of tasks; for the arguments, see `affinity_map`."""
    with plot_style():
        return to_png(affinity_map(tasks, mean, significant=significant))


def draw_dendrogram(tasks: Sequence[str], cosines: NDArray[np.float64]) -> bytes:
    """Draw tasks clustered by gradient similarity; for the arguments, see `task_dendrogram`."""
    with plot_style():
        return to_png(task_dendrogram(tasks, cosines))

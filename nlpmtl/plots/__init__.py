"""Pictures: how a model learned, what each task confuses, which gained by others, and how tasks are related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.plots.affinity import affinity_map
from nlpmtl.plots.alt_text import (
    describe_dynamics,
    describe_error_analysis,
    describe_learning_curve,
    describe_score_differences,
)
from nlpmtl.plots.canvas import plot_style, to_png
from nlpmtl.plots.confusion import confusion_matrix
from nlpmtl.plots.dendrogram import task_tree
from nlpmtl.plots.differences import ScoreDifference, score_differences
from nlpmtl.plots.dynamics import PANELS, training_dynamics
from nlpmtl.plots.learning_curve import learning_curve
from nlpmtl.plots.precision_recall import precision_and_recall
from nlpmtl.plots.scatter import scatter_plot
from nlpmtl.tasks import Confusion, ErrorAnalysis, LabelCounts

__all__ = [
    "ScoreDifference",
    "describe_dynamics",
    "describe_error_analysis",
    "describe_learning_curve",
    "describe_score_differences",
    "draw_affinity",
    "draw_dendrogram",
    "draw_dynamics",
    "draw_error_analysis",
    "draw_learning_curve",
    "draw_score_differences",
]


def draw_learning_curve(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> bytes:
    """The learning curve, as the bytes of a PNG; arguments as of `learning_curve`."""
    with plot_style():
        return to_png(learning_curve(metrics, evaluations, tasks=tasks, step=step))


def draw_dynamics(metrics: Sequence[Mapping[str, Any]]) -> bytes | None:
    """What a run chose on its way, as the bytes of a PNG; None where it had nothing to choose."""
    if not any(key in metrics[0] for key in PANELS):
        return None
    with plot_style():
        return to_png(training_dynamics(metrics))


def draw_error_analysis(task: str, found: ErrorAnalysis) -> bytes:
    """A task's answers beside what is right, as the bytes of a PNG: the same for the same counts."""
    with plot_style():
        if isinstance(found, Confusion):
            return to_png(confusion_matrix(task, found))
        if isinstance(found, LabelCounts):
            return to_png(precision_and_recall(task, found))
        return to_png(scatter_plot(task, found))


def draw_score_differences(found: Sequence[ScoreDifference], *, subtitle: str) -> bytes:
    """What each task gained or lost, as the bytes of a PNG; arguments as of `differences`."""
    with plot_style():
        return to_png(score_differences(found, subtitle=subtitle))


def draw_affinity(tasks: Sequence[str], mean: NDArray[np.float64], *, significant: NDArray[np.bool_]) -> bytes:
    """What a step on each task does to each, as the bytes of a PNG; arguments as of `affinity_map`."""
    with plot_style():
        return to_png(affinity_map(tasks, mean, significant=significant))


def draw_dendrogram(tasks: Sequence[str], cosines: NDArray[np.float64]) -> bytes:
    """Which tasks are alike, as the bytes of a PNG; arguments as of `task_tree`."""
    with plot_style():
        return to_png(task_tree(tasks, cosines))

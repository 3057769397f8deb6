"""Pictures: how a model learned, what each task confuses, which gained by others, and how tasks are related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.plots.affinity import affinity_map
from nlpmtl.plots.alt_text import describe_choices, describe_comparison, describe_differences, describe_learning
from nlpmtl.plots.canvas import style, to_png
from nlpmtl.plots.confusion import confusion_matrix
from nlpmtl.plots.dendrogram import task_tree
from nlpmtl.plots.differences import Difference, differences
from nlpmtl.plots.dynamics import TOLD, choices
from nlpmtl.plots.learning_curve import learning_curve
from nlpmtl.plots.precision_recall import precision_and_recall
from nlpmtl.plots.scatter import scatter
from nlpmtl.tasks import Confusion, ErrorAnalysis, LabelCounts

__all__ = [
    "Difference",
    "describe_choices",
    "describe_comparison",
    "describe_differences",
    "describe_learning",
    "draw_affinity",
    "draw_choices",
    "draw_comparison",
    "draw_differences",
    "draw_learning",
    "draw_tree",
]


def draw_learning(
    metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, tasks: Sequence[str], step: int
) -> bytes:
    """The learning curve, as the bytes of a PNG; arguments as of `learning_curve`."""
    with style():
        return to_png(learning_curve(metrics, evaluations, tasks=tasks, step=step))


def draw_choices(metrics: Sequence[Mapping[str, Any]]) -> bytes | None:
    """What a run chose on its way, as the bytes of a PNG; None where it had nothing to choose."""
    if not any(key in metrics[0] for key in TOLD):
        return None
    with style():
        return to_png(choices(metrics))


def draw_comparison(task: str, found: ErrorAnalysis) -> bytes:
    """A task's answers beside what is right, as the bytes of a PNG: the same for the same counts."""
    with style():
        if isinstance(found, Confusion):
            return to_png(confusion_matrix(task, found))
        if isinstance(found, LabelCounts):
            return to_png(precision_and_recall(task, found))
        return to_png(scatter(task, found))


def draw_differences(found: Sequence[Difference], *, below: str) -> bytes:
    """What each task gained or lost, as the bytes of a PNG; arguments as of `differences`."""
    with style():
        return to_png(differences(found, below=below))


def draw_affinity(tasks: Sequence[str], mean: NDArray[np.float64], *, clear: NDArray[np.bool_]) -> bytes:
    """What a step on each task does to each, as the bytes of a PNG; arguments as of `affinity_map`."""
    with style():
        return to_png(affinity_map(tasks, mean, clear=clear))


def draw_tree(tasks: Sequence[str], cosines: NDArray[np.float64]) -> bytes:
    """Which tasks are alike, as the bytes of a PNG; arguments as of `task_tree`."""
    with style():
        return to_png(task_tree(tasks, cosines))

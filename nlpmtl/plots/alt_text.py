"""Alt texts of plots, for screen readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlpmtl.plots.differences import ScoreDifference
from nlpmtl.plots.reliability import Reliability
from nlpmtl.tasks import Cells, Confusion, Histogram, LabelCounts, RegressionPairs

_EXAMPLES = 3


def describe_learning_curve(evaluations: Sequence[Mapping[str, Any]], *, steps: int, step: int) -> str:
    """Return the alt text of a learning curve."""
    if not evaluations:
        return f"Train loss of each task over {steps:,} steps."
    means = {line["step"]: line["mean"] for line in evaluations}
    first = next(iter(means))
    selected = f", {means[step]:.3f} at the selected step {step:,}" if step in means else ""
    return (
        f"Train loss and validation score of each task over {steps:,} steps; the mean score is "
        f"{means[first]:.3f} at step {first:,}{selected}."
    )


def describe_dynamics(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return the alt text of the training dynamics."""
    parts = []
    for key, title in (("sampling", "sampling probabilities"), ("weights", "loss weights")):
        if key in metrics[-1]:
            values = {name: value for name, value in metrics[-1][key].items() if value is not None}
            parts.append(f"{title}, {', '.join(f'{name} {value:.3g}' for name, value in values.items())}")
    return f"Training dynamics over {metrics[-1]['step']:,} steps. At the last step: {'; '.join(parts)}."


def describe_score_differences(differences: Sequence[ScoreDifference]) -> str:
    """Return the alt text of multi-task versus single-task scores."""
    parts = []
    for difference in differences:
        interval = "no interval" if difference.interval is None else "{:+.3f} to {:+.3f}".format(*difference.interval)
        parts.append(f"{difference.task} {difference.value:+.3f} ({interval})")
    return f"Multi-task minus single-task score of each task, with 95% confidence interval: {', '.join(parts)}."


def describe_confusion(task: str, confusion: Confusion) -> str:
    """Return the alt text of a confusion matrix."""
    cells = confusion.cells()
    is_error = cells.gold != cells.predicted
    errors = Cells(*(values[is_error] for values in cells))
    correct = int(cells.counts.sum() - errors.counts.sum())
    examples = [
        f"{confusion.labels[errors.gold[i]]} predicted as {confusion.labels[errors.predicted[i]]} "
        f"({errors.counts[i]:,})"
        for i in np.argsort(-errors.counts, kind="stable")[:_EXAMPLES]
    ]
    text = f"Confusion matrix of {task}: {correct:,} of {cells.counts.sum():,} {confusion.unit} correct."
    return f"{text} Most frequent errors: {', '.join(examples)}." if examples else text


def describe_precision_recall(task: str, counts: LabelCounts) -> str:
    """Return the alt text of precision and recall per label."""
    whole = 2 * counts.true_positives + counts.false_negatives + counts.false_positives
    f1 = np.divide(2 * counts.true_positives, whole, out=np.full(len(whole), np.inf), where=whole > 0)
    lowest = [i for i in np.argsort(f1, kind="stable")[:_EXAMPLES] if np.isfinite(f1[i])]
    examples = ", ".join(f"{counts.labels[i]} ({f1[i]:.2f})" for i in lowest)
    return f"Precision and recall of the {len(counts.labels)} labels of {task}. Lowest F1: {examples or 'undefined'}."


def describe_reliability(task: str, reliability: Reliability) -> str:
    """Return the alt text of a reliability diagram."""
    counts = reliability.counts
    confidence, accuracy = (
        float(np.nansum(counts * values) / counts.sum()) for values in (reliability.confidence, reliability.accuracy)
    )
    return (
        f"Reliability diagram of {task}: mean confidence {confidence:.3f}, accuracy {accuracy:.3f} of {counts.sum():,} "
        "predictions."
    )


def describe_scatter(task: str, pairs: RegressionPairs) -> str:
    """Return the alt text of predicted versus true values."""
    error = float(np.abs(pairs.gold - pairs.predicted).mean())
    return (
        f"Predicted versus true values of {task} on {len(pairs.gold):,} rows; the mean absolute error is {error:.3g}."
    )


def describe_histogram(task: str, counts: Histogram) -> str:
    """Return the alt text of a histogram."""
    bins = ", ".join(f"{name}: {count:,}" for name, count in zip(counts.bins, counts.counts, strict=True) if count)
    return f"Histogram of the {counts.quantity} of {task}. Number of rows: {bins or 'none'}."

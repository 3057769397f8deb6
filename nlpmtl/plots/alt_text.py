"""Pictures in words, for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlpmtl.plots.differences import ScoreDifference
from nlpmtl.tasks import Confusion, ErrorAnalysis, LabelCounts, RegressionPairs

_EXAMPLES = 3


def describe_learning_curve(evaluations: Sequence[Mapping[str, Any]], *, steps: int, step: int) -> str:
    """What the learning curve shows."""
    if not evaluations:
        return f"Loss of each task on train over {steps:,} steps."
    means = {line["step"]: line["mean"] for line in evaluations}
    first = next(iter(means))
    kept = f", {means[step]:.3f} at step {step:,}, whose weights were kept" if step in means else ""
    return (
        f"Loss of each task on train and score on validation over {steps:,} steps; the mean score is "
        f"{means[first]:.3f} at step {first:,}{kept}."
    )


def describe_dynamics(metrics: Sequence[Mapping[str, Any]]) -> str:
    """What the picture of a run's choices shows."""
    said = []
    for key, called in (("sampling", "share of the draws"), ("weights", "weight in the loss")):
        if key in metrics[-1]:
            values = {name: value for name, value in metrics[-1][key].items() if value is not None}
            last = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
            said.append(f"the {called}, at the last step {last}")
    return f"What was chosen over {metrics[-1]['step']:,} steps: {'; '.join(said)}."


def describe_score_differences(found: Sequence[ScoreDifference]) -> str:
    """What the picture of the differences shows."""
    told = [f"{one.task} {one.value:+.3f} ({one.interval[0]:+.3f} to {one.interval[1]:+.3f})" for one in found]
    return f"Score of the mixture minus score alone, and the interval of 95 %, of each task: {', '.join(told)}."


def describe_error_analysis(task: str, found: ErrorAnalysis) -> str:
    """What the picture of a task's answers shows."""
    if isinstance(found, Confusion):
        return _confusion(task, found)
    return _hits(task, found) if isinstance(found, LabelCounts) else _points(task, found)


def _confusion(task: str, found: Confusion) -> str:
    right = int(np.trace(found.counts))
    wrong = found.counts - np.diag(np.diag(found.counts))
    worst = [np.unravel_index(at, wrong.shape) for at in np.argsort(-wrong, axis=None, kind="stable")[:_EXAMPLES]]
    named = [f"{found.labels[i]} taken for {found.labels[j]} ({wrong[i, j]:,})" for i, j in worst if wrong[i, j]]
    said = f"Confusion matrix of {task}: {right:,} of {found.counts.sum():,} {found.unit} right."
    return f"{said} Most often confused: {', '.join(named)}." if named else said


def _hits(task: str, found: LabelCounts) -> str:
    whole = 2 * found.found + found.missed + found.wrong
    f1 = np.divide(2 * found.found, whole, out=np.full(len(whole), np.inf), where=whole > 0)
    worst = [i for i in np.argsort(f1, kind="stable")[:_EXAMPLES] if np.isfinite(f1[i])]
    named = ", ".join(f"{found.labels[i]} ({f1[i]:.2f})" for i in worst)
    return f"Precision and recall of the {len(found.labels)} labels of {task}. Lowest F1: {named or 'undefined'}."


def _points(task: str, found: RegressionPairs) -> str:
    error = float(np.abs(found.gold - found.predicted).mean())
    return f"Predicted over true values of {task} on {len(found.gold):,} rows; they are {error:.3g} apart on average."

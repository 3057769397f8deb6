"""Metrics that can score a task type, and those of them that need predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlpmtl.errors import ConfigError
from nlpmtl.metrics import SoftCrossEntropy, reads_losses
from nlpmtl.registry import METRICS
from nlpmtl.tasks.base import Task


def check_scoring(
    task_type: type[Task], metrics: Sequence[str], *, task: str, pos_label: str | int | None = None
) -> None:
    """Check that metrics can score the tasks of a type.

    Args:
        task_type: the type.
        metrics: names of the metrics.
        task: name of the task, for messages.
        pos_label: positive class, by name or id; None if the task has none.

    Raises:
        ConfigError: the type has no metrics, or a metric is unknown or cannot score the type.
    """
    kind = task_type.kind
    if not metrics and task_type.score is Task.score:
        raise ConfigError(f'task {task!r}: the task type {kind!r} has no default metrics: write `metrics = ["…"]`')
    has_gold = "label" in task_type.columns or task_type.gold is not Task.gold
    for name in metrics:
        if reads_losses(name) and task_type.coupled:
            raise ConfigError(
                f"task {task!r}: the metric {name!r} is not defined for the task type {kind!r}, because its loss of a "
                "row depends on the other rows of the batch: use other metrics"
            )
        if name == SoftCrossEntropy.name and "soft" not in task_type.columns:
            raise ConfigError(
                f"task {task!r}: the metric {name!r} compares distributions over labels, and the task type {kind!r} "
                "has no key `soft`: use loss"
            )
        if not reads_losses(name) and not has_gold and name in METRICS.names():
            advice = "define `gold` in the type" if task_type.coupled else "use loss or perplexity"
            raise ConfigError(
                f"task {task!r}: the metric {name!r} compares predictions with gold labels, and the task type {kind!r} "
                f"has none: {advice}"
            )
    task_type.check_metrics(metrics, task=task, pos_label=pos_label)


def loss_metrics(task: Task) -> list[str]:
    """Return the metrics of a task that read losses."""
    return [name for name in task.metrics if reads_losses(name)]


def can_resample(task: Task) -> bool:
    """Return whether all metrics of a task may be computed on rows that are drawn with replacement."""
    return all(getattr(METRICS.get(name), "resampled", True) for name in task.metrics if name in METRICS.names())


def needs_predictions(task: Task) -> bool:
    """Return whether a task is scored by its predictions, not by its loss only."""
    return type(task).score is not Task.score or len(loss_metrics(task)) < len(task.metrics)


def tasks_in_mean(tasks: Mapping[str, Task | type[Task]]) -> list[str]:
    """Return the names of the tasks whose scores count in the mean: all, if no type counts."""
    return [name for name, task in tasks.items() if task.in_mean] or list(tasks)

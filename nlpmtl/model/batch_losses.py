"""Losses of a batch: outputs of the heads, and the loss of each example and each task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from nlpmtl.data import Batch, TaskBatch
from nlpmtl.errors import RunError
from nlpmtl.heads import Outputs, check_outputs
from nlpmtl.tasks import Task


class TaskLoss(NamedTuple):
    """Summed loss of a task on a batch, and summed uncertainty of its predictions; None if it is not computed."""

    loss: Tensor
    uncertainty: Tensor | None


def task_outputs(model: nn.Module, batch: Batch, *, names: Collection[str] | None = None) -> dict[str, Outputs]:
    """Return the outputs of the tasks that have targets in a batch, by name. See `batch_losses` for the arguments."""
    parts = {name: part for name, part in batch.tasks.items() if names is None or name in names}
    sequences = {name: part.sequences for name, part in parts.items()}
    results = model(**batch.inputs, rows=sequences, words=batch.words, parts=parts)
    return {name: check_outputs(values, task=name, sequences=len(sequences[name])) for name, values in results.items()}


def batch_losses(
    model: nn.Module,
    batch: Batch,
    tasks: Mapping[str, Task],
    *,
    names: Collection[str] | None = None,
    needs_uncertainties: bool = False,
    outputs: Mapping[str, Outputs] | None = None,
) -> dict[str, TaskLoss]:
    """Compute the losses of a batch, for the tasks that have targets in it.

    Args:
        model: a `MultiTaskModel`.
        batch: batch on the device of the model.
        tasks: tasks of the run.
        names: names of the tasks to compute; default: all.
        needs_uncertainties: whether to compute the uncertainty of the predictions, for the task types that have one.
        outputs: what `task_outputs` returned for these tasks; default: they are computed.

    Returns:
        The losses by task, in the order of `tasks`. A coupled loss is that of the batch by itself.
    """
    if outputs is None:
        outputs = task_outputs(model, batch, names=names)
    losses: dict[str, TaskLoss] = {}
    for name, task in tasks.items():
        if name in outputs and (names is None or name in names):
            part, results = batch.tasks[name], outputs[name]
            uncertainty = None
            if needs_uncertainties:
                uncertainty = task.uncertainty({key: value.detach() for key, value in results.items()}, part)
            losses[name] = TaskLoss(weighted_losses(task, results, part).sum(), uncertainty)
    return losses


def weighted_losses(task: Task, outputs: Outputs, part: TaskBatch) -> Tensor:
    """Return the loss of each example, times its weight, ``[examples]``.

    Raises:
        RunError: `Task.loss` did not return a real number per example.
    """
    losses = task.loss(outputs, part)
    if not isinstance(losses, Tensor) or losses.shape != (part.examples,) or not losses.is_floating_point():
        is_tensor = isinstance(losses, Tensor)
        returned = f"shape {tuple(losses.shape)} of {losses.dtype}" if is_tensor else type(losses).__name__
        raise RunError(
            f"task {task.name!r}: loss() must return the loss of each example, a tensor of real numbers [examples], "
            f"never a mean over examples; found {returned} for {part.examples} examples"
        )
    return losses if part.weight is None else losses * part.weight

"""Losses of the rows of a split in evaluation mode, for the metrics `loss` and `perplexity`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from nlpmtl.data import Collator, TokenizedSplit, split_into_microbatches
from nlpmtl.model.batch_losses import task_outputs, weighted_losses
from nlpmtl.model.multitask import MultiTaskModel
from nlpmtl.tasks import Task, task_from_config

_BATCH_OVERHEAD = 64
"""Cost of a batch besides its tokens, in tokens."""


@dataclass(frozen=True)
class RowLosses:
    """Computes the loss of each row of a split in batches, without gradients.

    The loss of a row does not depend on the batch, the process, the step, the seed of the run or the name of the
    dataset: a task with `Task.corrupt` gets the same modified copies in each evaluation. Options for training only,
    such as class weights, are not applied, as in a saved model.

    Args:
        model: the model, in evaluation mode when it is used.
        tasks: tasks by name.
        pad: id of the padding token.
        types: whether the encoder takes token type ids.
        tokens: maximum number of padded tokens in one forward pass.
        autocast: returns a context in which the model computes in another precision; default: that of its parameters.
        rank: rank of this process.
        world: number of processes.
    """

    model: MultiTaskModel
    tasks: Mapping[str, Task]
    pad: int
    types: bool
    tokens: int
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext
    rank: int = 0
    world: int = 1

    def run(self, split: TokenizedSplit, names: Collection[str]) -> Iterator[tuple[int, str, float]]:
        """Yield (row, task, loss) for this process's share of the rows that have targets.

        The loss is summed over the items of the row. It is not defined for coupled tasks.

        Args:
            split: the rows; `Labels.counts` of a task is 0 for rows that are excluded.
            names: names of the tasks.
        """
        tasks = {name: _as_saved(self.tasks[name]) for name in names if name in split.labels}
        if not tasks:
            return
        split = replace(split, labels={name: split.labels[name] for name in tasks})
        corrupt = {name: task.corrupt for name, task in tasks.items() if type(task).corrupt is not Task.corrupt}
        collate = Collator([split], self.pad, self.types, words=True, corrupt=corrupt, names=[""], seed=0)
        has_targets = np.logical_or.reduce([labels.counts > 0 for labels in split.labels.values()])
        rows = [(0, row) for row in np.flatnonzero(has_targets).tolist()]
        if not rows:
            return
        stats = collate.count(rows)
        batches = split_into_microbatches(
            rows,
            lengths=stats.longest.tolist(),
            counts=stats.sequences.tolist(),
            world_size=self.world,
            limit=self.tokens,
            overhead=_BATCH_OVERHEAD,
        )
        for batch_rows in batches[self.rank]:
            batch = collate(batch_rows).to(self.model.device)
            with torch.inference_mode(), self.autocast():
                losses = {
                    name: weighted_losses(tasks[name], outputs, batch.tasks[name]).tolist()
                    for name, outputs in task_outputs(self.model, batch).items()
                }
            indices = np.array([row for _, row in batch_rows])
            for name, values in losses.items():
                rows_of_task = indices[split.labels[name].counts[indices] > 0].tolist()
                yield from ((row, name, loss) for row, loss in zip(rows_of_task, values, strict=True))


def _as_saved(task: Task) -> Task:
    """Return the task as a saved model has it, without label smoothing."""
    saved = task_from_config(task.name, task.to_config())
    saved._tokenizer = task._tokenizer
    if "label_smoothing" in type(saved).model_fields:
        saved.label_smoothing = 0.0  # type: ignore[attr-defined]  # its default is 0.1 for translation
    return saved

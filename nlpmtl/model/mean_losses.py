"""Mean losses of tasks on whole splits, for the metrics `loss` and `perplexity`.

    loss = Σ_i w_i · ℓ_i / Σ_i w_i · c_i        perplexity = exp(loss)

Symbols:
- ℓ_i: summed loss of row i, w_i: its weight
- c_i: number of items of the loss in row i, such as tokens
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from nlpmtl.data import Collator, split_into_microbatches
from nlpmtl.errors import ConfigError
from nlpmtl.model.multitask import MultiTaskModel, batch_losses
from nlpmtl.tasks import Task

Gather = Callable[[list[Any]], list[Any]]
"""Concatenates the lists of all processes."""


def mean_losses(
    model: MultiTaskModel,
    collate: Collator,
    tasks: Mapping[str, Task],
    *,
    names: Collection[str],
    tokens: int,
    rank: int = 0,
    world: int = 1,
    gather: Gather = list,
) -> dict[str, float]:
    """Return the mean loss of some tasks on all rows with targets for them.

    Args:
        model: the model, in evaluation mode.
        collate: makes batches of the splits. A task that reads changed copies of its sequences reads those of the
            first pass, so that its loss is the same each time.
        tasks: tasks by name.
        names: names of the tasks to compute; none of them is coupled.
        tokens: maximum number of tokens in a forward pass; a longer row is computed by itself.
        rank: rank of this process.
        world: number of processes, each of which computes a part of the rows.
        gather: concatenates the lists of all processes.

    Returns:
        Task -> mean loss; a task without targets is left out.

    Raises:
        ConfigError: a task is coupled, so its loss depends on how rows are put into batches.
    """
    for name in names:
        if tasks[name].coupled:
            raise ConfigError(
                f"task {name!r}: the metrics loss and perplexity are not defined, because the loss of a row depends on "
                "the other rows of a batch: choose other metrics"
            )
    rows = [
        (dataset, row)
        for dataset, split in enumerate(collate.datasets)
        for row in range(len(split))
        if any(name in split.labels and split.labels[name].counts[row] > 0 for name in names)
    ]
    stats = collate.tally(rows)
    batches = split_into_microbatches(
        rows, lengths=stats.lengths.tolist(), world_size=world, limit=tokens, overhead=None
    )[rank]
    sums = dict.fromkeys(names, 0.0)
    with torch.no_grad():
        for batch_rows in batches:
            batch = collate(batch_rows, tasks=names).to(model.device)
            for name, task in batch_losses(model, batch, tasks, names=names).items():
                sums[name] += float(task.loss)
    gathered = gather(list(sums.items()))
    return {
        name: math.fsum(value for task, value in gathered if task == name) / stats.items[name]
        for name in names
        if name in stats.items
    }

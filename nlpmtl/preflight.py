"""Dry run: everything that training checks, statistics of the data, and the loss of one batch per task.

It writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlpmtl.config import DatasetConfig
from nlpmtl.data import Labels, TokenizedSplit
from nlpmtl.errors import RunError
from nlpmtl.run import Source, build_run, load_config
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.training import Trainer, accelerator_context, check_precision, resolve_precision

_SPLITS = ("train", "validation", "test")
_NO_LIMIT = 1_000_000
"""Maximum length for counting tokens; longer texts count as this long."""


@dataclass(frozen=True)
class SplitReport:
    """Statistics of one split of one dataset. Token counts are those before truncation.

    Args:
        dataset: name of the dataset.
        split: name of the split.
        rows: number of rows.
        labelled: number of labelled rows by task.
        mean: mean number of tokens per row.
        percentile: 95th percentile of the number of tokens per row.
        longest: maximum number of tokens per row.
        cut: number of rows that `encoder.max_length` truncates.
        unseen: labels by task that occur here but in no train split.
    """

    dataset: str
    split: str
    rows: int
    labelled: Mapping[str, int]
    mean: float
    percentile: int
    longest: int
    cut: int
    unseen: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class TaskReport:
    """A task, and its mean loss with the untrained model on a batch of its longest train rows.

    Args:
        name: name of the task.
        kind: its kind.
        input: its input shape.
        labels: its label names.
        rows: number of rows of the batch.
        loss: mean loss of the batch.
    """

    name: str
    kind: str
    input: str
    labels: tuple[str, ...]
    rows: int
    loss: float


@dataclass(frozen=True)
class CheckReport:
    """Result of a dry run.

    Args:
        steps: number of optimizer steps of the run.
        max_length: `encoder.max_length`.
        splits: statistics of all splits, including those that training does not read.
        tasks: the tasks in the order of the run.
        notes: warnings about the data, such as skipped rows and unknown labels.
    """

    steps: int
    max_length: int
    splits: tuple[SplitReport, ...]
    tasks: tuple[TaskReport, ...]
    notes: tuple[str, ...]


def check(source: Source, *, overrides: Mapping[str, Any] | None = None) -> CheckReport:
    """Check that a run can start: build everything that training needs, and compute one batch per task.

    Args:
        source: a run file, the name of a built-in one, a dict, or a `RunConfig`.
        overrides: values by dotted config key.

    Raises:
        NlpmtlError: any error that training would raise before its first step.
        RunError: the loss of a batch cannot be computed or is not finite.
    """
    config = load_config(source, overrides=overrides)
    limit, directory = config.encoder.max_length, config.output or Path()
    precision = resolve_precision(config.train.precision)
    with accelerator_context(directory=directory, precision=precision, trackers=config.train.trackers) as accelerator:
        encoder, datasets, trainer = build_run(config, directory=directory, accelerator=accelerator)
        tasks = tuple(_try_task(name, trainer=trainer, max_rows=config.train.batch_size) for name in datasets.tasks)
        steps = trainer.total_steps
    # Training reads only the splits that it needs; the statistics need all splits, with and without the limit.
    split_names = [split for dataset in config.datasets.values() for split in dataset.data.split_names]
    names = list(dict.fromkeys([*_SPLITS, *split_names]))
    options: dict[str, Any] = {"tokenizer": encoder.tokenizer, "splits": names}
    cut = load_task_datasets(config.datasets, max_length=limit, **options)
    longer = _datasets_with_longer_rows(config.datasets, cut)
    full = load_task_datasets(longer, max_length=_NO_LIMIT, **options).splits if longer else {}
    train_labels = _train_labels(cut.splits["train"])
    splits = [
        _report(name, split, rows=full.get(split, {}).get(name, rows), cut=rows, train_labels=train_labels)
        for name in config.datasets
        for split in names
        for rows in [cut.splits.get(split, {}).get(name)]
        if rows is not None
    ]
    return CheckReport(steps, limit, tuple(splits), tasks, (*encoder.notes, *cut.notes, *trainer.notes))


def _datasets_with_longer_rows(datasets: Mapping[str, DatasetConfig], loaded: TaskDatasets) -> dict[str, DatasetConfig]:
    """Return the datasets with a truncated row, or with a task that makes sequences of its own, and all datasets that
    share a task with them, without which the labels of the task are not known.
    """
    whole = {name for name, task in loaded.tasks.items() if task.vectorised}
    tasks: set[str] = set()
    for name, dataset in datasets.items():
        rows = [splits[name] for splits in loaded.splits.values() if name in splits]
        if any(split.truncated for split in rows) or not dataset.tasks.keys() <= whole:
            tasks |= dataset.tasks.keys()
    while True:
        chosen = {name: dataset for name, dataset in datasets.items() if tasks & dataset.tasks.keys()}
        shared = tasks.union(*(dataset.tasks for dataset in chosen.values()))
        if shared == tasks:
            return chosen
        tasks = shared


def _report(
    dataset: str, split: str, *, rows: TokenizedSplit, cut: TokenizedSplit, train_labels: Mapping[str, set[int]]
) -> SplitReport:
    lengths = rows.row_lengths
    unseen = {}
    for task, labels in rows.labels.items():
        new = sorted(_occurring(labels) - train_labels[task])
        if new:
            unseen[task] = tuple(labels.names[i] for i in new)
    return SplitReport(
        dataset=dataset,
        split=split,
        rows=len(rows),
        labelled={task: int(labels.labelled.sum()) for task, labels in rows.labels.items()},
        mean=float(lengths.mean()),
        percentile=int(np.percentile(lengths, 95, method="higher")),
        longest=int(lengths.max()),
        cut=cut.truncated,
        unseen=unseen,
    )


def _train_labels(train: Mapping[str, TokenizedSplit]) -> dict[str, set[int]]:
    """Return the label ids that occur in the train splits, by task."""
    by_task: dict[str, set[int]] = {}
    for rows in train.values():
        for task, labels in rows.labels.items():
            by_task.setdefault(task, set()).update(_occurring(labels))
    return by_task


def _occurring(labels: Labels) -> set[int]:
    """Return the ids that occur among the known labels of the task."""
    return {int(i) for i in labels.occurring() if i < labels.known}


def _try_task(name: str, *, trainer: Trainer, max_rows: int) -> TaskReport:
    """Compute the loss of a task on its longest train rows, as many as fit into one forward pass."""
    accumulator, task = trainer.train_step.accumulator, trainer.tasks[name]
    datasets, max_tokens = accumulator.collate.datasets, accumulator.micro_tokens
    rows = _longest_rows(name, datasets=datasets, max_rows=max_rows, max_tokens=max_tokens)
    try:
        loss = _loss(name, trainer=trainer, rows=rows)
    except (IndexError, RuntimeError, ValueError) as error:
        check_precision(error)
        raise RunError(f"task {name!r}: a batch of its {len(rows)} longest rows cannot be computed: {error}") from error
    if not math.isfinite(loss):
        raise RunError(f"task {name!r}: the loss of a batch of its {len(rows)} longest rows is {loss}")
    return TaskReport(name, task.kind, task.input, task.labels, len(rows), loss)


def _longest_rows(
    task: str, *, datasets: Sequence[TokenizedSplit], max_rows: int, max_tokens: int
) -> list[tuple[int, int]]:
    by_length: list[tuple[int, int, int]] = []
    for dataset, rows in enumerate(datasets):
        if task in rows.labels:
            labelled = np.flatnonzero(rows.labels[task].counts > 0)
            lengths = rows.row_lengths
            order = labelled[np.argsort(-lengths[labelled], kind="stable")][:max_rows]
            by_length.extend((-int(lengths[row]), dataset, int(row)) for row in order)
    by_length.sort()
    longest = -by_length[0][0]
    return [(dataset, row) for _, dataset, row in by_length[: min(max_rows, max(1, max_tokens // longest))]]


def _loss(name: str, *, trainer: Trainer, rows: Sequence[tuple[int, int]]) -> float:
    accumulator = trainer.train_step.accumulator
    collate = accumulator.collate
    trainer.model.eval()
    with torch.no_grad():
        summed = accumulator.task_losses(collate(rows, tasks=[name]), names=[name])[name].loss
    return float(summed) / sum(int(collate.datasets[d].labels[name].counts[r]) for d, r in rows)

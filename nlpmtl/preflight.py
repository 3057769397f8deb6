"""Dry run: everything that training checks, statistics of the data, and the loss of one batch per task.

It writes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nlpmtl.data import TokenizedSplit
from nlpmtl.data_report import DataReport, examine
from nlpmtl.data_report import SplitReport as SplitReport
from nlpmtl.errors import RunError
from nlpmtl.run import Source, build_run, load_config
from nlpmtl.run_inputs import pooling_notes
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.tasks.split_checks import TRUNCATED
from nlpmtl.training import Trainer, accelerator_context, check_precision, global_state_restored, resolve_precision

_SPLITS = ("train", "validation", "test")
_LOSS_ROWS = 2
"""Maximum number of rows of a batch whose loss is computed: more rows show no further problem, and take longer."""


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
        tasks: the tasks in the order of the run.
        notes: warnings about the data, such as skipped rows and unknown labels.
        data: statistics of all splits, including those that training does not read, label frequencies, baselines, and
            findings such as duplicates and label conflicts.
    """

    steps: int
    max_length: int
    tasks: tuple[TaskReport, ...]
    notes: tuple[str, ...]
    data: DataReport

    @property
    def splits(self) -> tuple[SplitReport, ...]:
        """Statistics of all splits."""
        return self.data.splits


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
    with (
        global_state_restored(),
        accelerator_context(directory=directory, precision=precision, trackers=config.train.trackers) as accelerator,
    ):
        encoder, datasets, trainer = build_run(config, directory=directory, accelerator=accelerator)
        max_rows = min(config.train.batch_size, _LOSS_ROWS)
        tasks = tuple(_try_task(name, trainer=trainer, max_rows=max_rows) for name in datasets.tasks)
        steps = trainer.total_steps
    # Training reads only the splits that it needs; the statistics need all splits.
    splits = dict.fromkeys(
        [*_SPLITS, *(split for dataset in config.datasets.values() for split in dataset.data.split_names)]
    )
    tokenizer = encoder.tokenizer
    loaded = load_task_datasets(
        config.datasets,
        tokenizer=tokenizer,
        max_length=limit,
        earlier=encoder.pretrained_tasks,
        pooling=encoder.default_pooling,
        encoder_config=encoder.model.config,
        splits=list(splits),
    )
    loaded = replace(loaded, splits={split: loaded.splits[split] for split in splits if split in loaded.splits})
    data = examine(loaded, tokenizer=tokenizer, max_length=limit, max_positions=encoder.max_positions)
    notes = [note for note in loaded.notes if TRUNCATED not in note]  # a finding about them has the advice too
    notes = [*encoder.notes, *pooling_notes(config, encoder, datasets), *notes, *trainer.notes]
    return CheckReport(steps, limit, tasks, tuple(notes), data)


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
    return float(summed) / collate.count(rows).items[name]

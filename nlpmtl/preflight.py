"""A run before it starts: everything that training would check, what the data look like, one batch of every task.

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

from nlpmtl.data import Encoded, Labels
from nlpmtl.errors import RunError
from nlpmtl.run import Source, build_run, load_config
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.training import Trainer, accelerator_context, check_precision, resolve_precision

_SPLITS = ("train", "validation", "test")
_NO_LIMIT = 1_000_000
"""Tokens; a text that is longer counts as so long."""


@dataclass(frozen=True)
class SplitReport:
    """The rows of one split of one dataset.

    Args:
        dataset: its name.
        split: the split's.
        rows: how many there are.
        labelled: of these, for each task, how many carry a label for it.
        mean: tokens of a row on average, before any are cut off …
        percentile: … the number that 95 % of the rows stay within …
        longest: … and of the longest.
        cut: rows that `encoder.max_length` cuts.
        unseen: for each task the labels of its list that occur here and in no train split.
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
    """A task, and the mean loss of the untrained model on a batch of its longest train rows."""

    name: str
    kind: str
    input: str
    labels: tuple[str, ...]
    rows: int
    loss: float


@dataclass(frozen=True)
class CheckReport:
    """A run that can start.

    Args:
        steps: optimizer steps that it would take.
        max_length: `encoder.max_length`.
        splits: all of them, those that training does not read too.
        tasks: in the order of the run.
        notes: rows that were left out, labels that a task does not know.
    """

    steps: int
    max_length: int
    splits: tuple[SplitReport, ...]
    tasks: tuple[TaskReport, ...]
    notes: tuple[str, ...]


def check(source: Source, *, overrides: Mapping[str, Any] | None = None) -> CheckReport:
    """Load and put together everything as training does, and try a batch of every task.

    Args:
        source: a run file, the name of a shipped one, a dict, or a `RunConfig`.
        overrides: dotted key = value.

    Raises:
        NlpmtlError: what training would raise before its first step; RunError if a batch cannot be computed.
    """
    config = load_config(source, overrides=overrides)
    limit, directory = config.encoder.max_length, config.output or Path()
    precision = resolve_precision(config.train.precision)
    with accelerator_context(directory=directory, precision=precision, trackers=config.train.trackers) as accelerator:
        encoder, work, fit = build_run(config, directory=directory, accelerator=accelerator)
        tasks = tuple(_try_task(name, fit=fit, most=config.train.batch_size) for name in work.tasks)
        steps = fit.total_steps
    # Training has read what it needs, as short as it needs it; now all that is there, at full length.
    names = dict.fromkeys([*_SPLITS, *(split for one in config.datasets.values() for split in one.data.split_names)])
    whole = load_task_datasets(config.datasets, tokenizer=encoder.tokenizer, max_length=_NO_LIMIT, splits=list(names))
    seen = _seen(whole.splits["train"])
    splits = [
        _report(name, split, rows=whole.splits[split][name], limit=limit, seen=seen)
        for name in config.datasets
        for split in names
        if name in whole.splits.get(split, {})
    ]
    return CheckReport(steps, limit, tuple(splits), tasks, (*encoder.notes, *whole.notes))


def _report(dataset: str, split: str, *, rows: Encoded, limit: int, seen: Mapping[str, set[int]]) -> SplitReport:
    lengths = rows.ids.lengths
    unseen = {}
    for task, labels in rows.labels.items():
        new = sorted(_occurring(labels) - seen[task])
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
        cut=int((lengths > limit).sum()),
        unseen=unseen,
    )


def _seen(train: Mapping[str, Encoded]) -> dict[str, set[int]]:
    """For each task the ids of its labels that some train row has."""
    seen: dict[str, set[int]] = {}
    for rows in train.values():
        for task, labels in rows.labels.items():
            seen.setdefault(task, set()).update(_occurring(labels))
    return seen


def _occurring(labels: Labels) -> set[int]:
    """The ids that occur, of the labels that the task knows."""
    return {int(i) for i in labels.occurring() if i < labels.known}


def _try_task(name: str, *, fit: Trainer, most: int) -> TaskReport:
    """The loss of a task on its longest train rows, as many as go into one forward."""
    accumulator, task = fit.train_step.accumulator, fit.tasks[name]
    rows = _longest(name, datasets=accumulator.collate.datasets, most=most, tokens=accumulator.micro_tokens)
    try:
        loss = _loss(name, fit=fit, rows=rows)
    except (IndexError, RuntimeError, ValueError) as error:
        check_precision(error)
        raise RunError(f"task {name!r}: a batch of its {len(rows)} longest rows cannot be computed: {error}") from error
    if not math.isfinite(loss):
        raise RunError(f"task {name!r}: the loss of a batch of its {len(rows)} longest rows is {loss}")
    return TaskReport(name, task.kind, task.input, task.labels, len(rows), loss)


def _longest(task: str, *, datasets: Sequence[Encoded], most: int, tokens: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int, int]] = []
    for d, rows in enumerate(datasets):
        if task in rows.labels:
            labelled = np.flatnonzero(rows.labels[task].counts > 0)
            order = labelled[np.argsort(-rows.ids.lengths[labelled], kind="stable")][:most]
            found.extend((-len(rows.ids[r]), d, int(r)) for r in order)
    found.sort()
    return [(d, r) for _, d, r in found[: min(most, max(1, tokens // -found[0][0]))]]


def _loss(name: str, *, fit: Trainer, rows: Sequence[tuple[int, int]]) -> float:
    accumulator = fit.train_step.accumulator
    collate = accumulator.collate
    fit.model.eval()
    with torch.no_grad():
        summed = accumulator.task_losses(collate(rows), names=[name])[name].loss
    return float(summed) / sum(int(collate.datasets[d].labels[name].counts[r]) for d, r in rows)

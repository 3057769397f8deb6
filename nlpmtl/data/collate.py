"""Collation: rows of tokenized datasets to batches of padded token sequences.

A row is given as (dataset, row), or as (dataset, row, pass) where a task reads changed copies of its sequences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.batch import Batch, TaskBatch, pad_rows
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.row_sequences import (
    Corrupt,
    DatasetRows,
    Sequences,
    TaskExamples,
    read_sequences,
    row_sizes,
)
from nlpmtl.data.targets import TagLabels, join_padded
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.data.word_alignment import NO_TOKEN

if TYPE_CHECKING:
    from torch import Tensor

RowRefs = Sequence[tuple[int, ...]]
"""Rows as (index of the dataset, index of the row, pass over the dataset); without a pass it is the first one, 0."""


@dataclass(frozen=True)
class BatchStats:
    """Counts of rows, without a batch of them.

    Args:
        lengths: tokens of each row, over all its sequences, ``[rows]``.
        sequences: number of sequences of each row, ``[rows]``.
        longest: tokens of the longest sequence of each row, ``[rows]``.
        labelled: whether each row has targets for any task, ``[rows]``.
        rows: for each task that has any, the number of rows with targets.
        items: for each of these tasks the number of items of its loss, multiplied by the weights of the rows.
    """

    lengths: NDArray[np.int64]
    sequences: NDArray[np.int64]
    longest: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    rows: Mapping[str, int]
    items: Mapping[str, float]


@dataclass(frozen=True)
class Collator:
    """Makes batches of rows of several tokenized datasets.

    Args:
        datasets: the datasets, in the order that rows refer to them.
        pad: the id of the padding token.
        types: whether the encoder takes segments.
        words: whether a head reads words.
        corrupt: `Task.corrupt` of the tasks that read changed copies of their sequences.
        names: names of the datasets, on which the copies depend; needed with `corrupt`.
        seed: seed of the run, on which the copies depend.
    """

    datasets: Sequence[TokenizedSplit]
    pad: int
    types: bool
    words: bool = False
    corrupt: Mapping[str, Corrupt] = field(default_factory=dict)
    names: Sequence[str] = ()
    seed: int = 0

    def __call__(self, rows: RowRefs, *, tasks: Collection[str] | None = None) -> Batch:
        """Return a batch: every different sequence that an example reads, in the order of the rows.

        Args:
            rows: the rows.
            tasks: names of the tasks whose examples are in the batch; default: all.

        Raises:
            RunError: a task changes the count of its targets when it makes copies.
        """
        import torch

        groups = self._groups(rows)
        parts = [self._sequences(group, tasks) for group in groups]
        indices = _batch_indices(groups, parts)
        total = sum(map(len, indices))
        lengths = np.empty(total, dtype=np.int64)
        for index, part in zip(indices, parts, strict=True):
            lengths[index] = part.tokens.lengths
        time = int(lengths.max())
        types, words = None, None
        if self.types:
            types = pad_rows([part.tokens.types for part in parts], indices, shape=(total, time), fill=0)
        if self.words:
            first_tokens = [part.tokens.first_tokens for part in parts]
            word_count = max((_longest(words) for words in first_tokens if words is not None), default=0)
            words = pad_rows(first_tokens, indices, shape=(total, word_count), fill=NO_TOKEN)
        return Batch(
            input_ids=pad_rows([part.tokens.ids for part in parts], indices, shape=(total, time), fill=self.pad),
            attention_mask=torch.from_numpy((np.arange(time) < lengths[:, None]).astype(np.int64)),
            token_type_ids=types,
            tasks=_task_batches(groups, parts, indices, time=time, words=self.words),
            words=words,
        )

    def count(self, rows: RowRefs) -> BatchStats:
        """Return the counts of rows."""
        sizes, labelled = np.empty((3, len(rows)), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_)
        row_counts: dict[str, int] = {}
        items: dict[str, float] = {}
        for dataset, (places, indices, _) in _by_dataset(rows).items():
            split, batch_rows = self.datasets[dataset], np.array(places)
            sizes[:, batch_rows] = self._row_sizes[dataset][:, indices]
            for task, labels in split.labels.items():
                counts = labels.counts[indices]
                has_label = counts > 0
                count = int(np.count_nonzero(has_label))
                if count:
                    labelled[batch_rows] |= has_label
                    row_counts[task] = row_counts.get(task, 0) + count
                    weights = split.weights.get(task)
                    sum_ = int(counts.sum()) if weights is None else float((counts * weights[indices]).sum())
                    items[task] = items.get(task, 0) + sum_
        lengths, sequences, longest = sizes
        return BatchStats(lengths, sequences, longest, labelled, row_counts, items)

    def has_label(self, rows: RowRefs, *, task: str) -> NDArray[np.bool_]:
        """Return whether each row has targets for a task, ``[rows]``."""
        has_label = np.zeros(len(rows), dtype=np.bool_)
        for dataset, (places, indices, _) in _by_dataset(rows).items():
            labels = self.datasets[dataset].labels
            if task in labels:
                has_label[places] = labels[task].counts[indices] > 0
        return has_label

    @cached_property
    def _row_sizes(self) -> list[NDArray[np.int64]]:
        """The fields of `RowSizes` of the rows of each dataset, ``[3, rows]``."""
        copied = self.corrupt.keys()
        return [np.stack(row_sizes(split, copied=copied & split.labels.keys())) for split in self.datasets]

    def _groups(self, rows: RowRefs) -> list[DatasetRows]:
        """Return the rows by dataset, in the order in which the datasets appear."""
        return [
            DatasetRows(
                self.datasets[dataset],
                places=np.array(places),
                rows=np.array(indices),
                passes=passes,
                name=self.names[dataset] if self.names else "",
            )
            for dataset, (places, indices, passes) in _by_dataset(rows).items()
        ]

    def _sequences(self, group: DatasetRows, tasks: Collection[str] | None) -> Sequences:
        """Return the sequences that the rows of a group read."""
        split = group.split
        examples = {}
        for task, labels in split.labels.items():
            if tasks is None or task in tasks:
                labelled = np.flatnonzero(labels.counts[group.rows] > 0)
                if len(labelled):
                    examples[task] = labelled
        if split.places or not self.corrupt.keys().isdisjoint(examples):
            return read_sequences(group, examples, corrupt=self.corrupt, seed=self.seed)
        by_task = {task: TaskExamples(labelled, labelled) for task, labelled in examples.items()}
        return Sequences(split.tokens.take(group.rows), group.places, by_task)


def _by_dataset(rows: RowRefs) -> dict[int, tuple[list[int], list[int], list[int]]]:
    """Return dataset -> places in the batch, rows and passes of its rows; datasets in order of appearance."""
    by_dataset: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for place, row in enumerate(rows):
        places, indices, passes = by_dataset.setdefault(row[0], ([], [], []))
        places.append(place)
        indices.append(row[1])
        passes.append(row[2] if len(row) > 2 else 0)
    return by_dataset


def _batch_indices(groups: Sequence[DatasetRows], parts: Sequence[Sequences]) -> list[NDArray[np.int64]]:
    """Return the indices of the sequences of each group in the batch, which has them in the order of their rows."""
    if all(part.place is group.places for group, part in zip(groups, parts, strict=True)):  # one sequence per row
        return [part.place for part in parts]
    places = np.concatenate([part.place for part in parts])
    index = np.empty(len(places), dtype=np.int64)
    index[places.argsort(kind="stable")] = np.arange(len(places))
    return np.split(index, np.cumsum([len(part.place) for part in parts])[:-1])


def _longest(rows: Ragged) -> int:
    return int(rows.lengths.max(initial=0))


class _Piece(NamedTuple):
    """The examples of a task that are from one dataset.

    Args:
        place: places of their rows in the batch, ``[examples]``.
        sequences: the sequences that they read, among those of the batch.
        sizes: number of sequences of each example; None: 1.
        targets: what the loss reads.
        weight: weights of the examples; None: 1.
        time, words: tokens and words of the longest sequence; `time` is None for targets as long as the batch.
    """

    place: NDArray[np.int64]
    sequences: NDArray[np.int64]
    sizes: NDArray[np.int64] | None
    targets: dict[str, Tensor]
    weight: NDArray[np.float64] | None
    time: int | None
    words: int


def _task_batches(
    groups: Sequence[DatasetRows],
    parts: Sequence[Sequences],
    indices: Sequence[NDArray[np.int64]],
    *,
    time: int,
    words: bool,
) -> dict[str, TaskBatch]:
    """Return the part of each task, joined over the datasets that have targets for it, in the order of the rows."""
    pieces: dict[str, list[_Piece]] = {}
    for group, part, index in zip(groups, parts, indices, strict=True):
        for task, examples in part.tasks.items():
            pieces.setdefault(task, []).append(_piece(task, examples, group, part, index, time=time, words=words))
    return {task: _join(of_task) for task, of_task in pieces.items()}


def _piece(
    task: str,
    examples: TaskExamples,
    group: DatasetRows,
    part: Sequences,
    index: NDArray[np.int64],
    *,
    time: int,
    words: bool,
) -> _Piece:
    labels, rows = group.split.labels[task], group.rows[examples.examples]
    weights = group.split.weights.get(task)
    targets, first_tokens = examples.targets, part.tokens.first_tokens
    if targets is None:
        of_rows = first_tokens.take(examples.sequences) if isinstance(labels, TagLabels) and first_tokens else None
        targets = labels.targets(rows, first_tokens=of_rows, time=time)
    in_batch_time = labels.padded_to_batch and examples.targets is None
    return _Piece(
        place=group.places[examples.examples],
        sequences=index[examples.sequences],
        sizes=examples.sizes,
        targets=targets,
        weight=None if weights is None else weights[rows],
        time=None if in_batch_time else int(part.tokens.lengths[examples.sequences].max()),
        words=0 if first_tokens is None or not words else int(first_tokens.lengths[examples.sequences].max()),
    )


def _join(pieces: Sequence[_Piece]) -> TaskBatch:
    """Return the examples of a task from all datasets, in the order of their rows."""
    import torch

    first = pieces[0]
    if len(pieces) == 1 and first.sizes is None:
        weight = None if first.weight is None else torch.from_numpy(first.weight)
        return TaskBatch(torch.from_numpy(first.sequences), first.targets, weight, time=first.time, words=first.words)
    if all(piece.sizes is None for piece in pieces) and all(piece.weight is None for piece in pieces):
        sequences = np.concatenate([piece.sequences for piece in pieces])
        order = sequences.argsort()
        by_row = torch.from_numpy(order)
        targets = {name: join_padded([piece.targets[name] for piece in pieces])[by_row] for name in first.targets}
        words = max(piece.words for piece in pieces)
        return TaskBatch(torch.from_numpy(sequences[order]), targets, time=_longest_time(pieces), words=words)
    return _join_grouped(pieces)


def _longest_time(pieces: Sequence[_Piece]) -> int | None:
    times = [piece.time for piece in pieces if piece.time is not None]
    return max(times) if len(times) == len(pieces) else None


def _join_grouped(pieces: Sequence[_Piece]) -> TaskBatch:
    """Return the examples of a task, some of which have several sequences or weights."""
    import torch

    first = pieces[0]
    sizes = np.concatenate([np.ones(len(p.place), dtype=np.int64) if p.sizes is None else p.sizes for p in pieces])
    order = np.concatenate([piece.place for piece in pieces]).argsort(kind="stable")
    bounds = np.concatenate([[0], sizes.cumsum()])
    by_example = Ragged(np.concatenate([piece.sequences for piece in pieces]), bounds).take(order)
    sequence_order = Ragged(np.arange(bounds[-1]), bounds).take(order).values
    targets = {}
    for name in first.targets:
        values = join_padded([piece.targets[name] for piece in pieces])
        # With as many sequences as examples, each example has one, and both orders are the same.
        targets[name] = values[torch.from_numpy(order if len(values) == len(order) else sequence_order)]
    weight = None
    if any(piece.weight is not None for piece in pieces):
        weights = [np.ones(len(piece.place)) if piece.weight is None else piece.weight for piece in pieces]
        weight = torch.from_numpy(np.concatenate(weights)[order])
    example, position = by_example.indices_2d()
    grouped = bool((sizes != 1).any())
    return TaskBatch(
        torch.from_numpy(by_example.values),
        targets,
        weight,
        example=torch.from_numpy(example) if grouped else None,
        position=torch.from_numpy(position) if grouped else None,
        time=_longest_time(pieces),
        words=max(piece.words for piece in pieces),
    )

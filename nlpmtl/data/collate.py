"""Collation: rows of tokenized datasets to batches of padded token sequences.

A row is given as (dataset, row), or as (dataset, row, pass) if a task has `Task.corrupt`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.batch import Batch, TaskBatch, pad_rows
from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.row_sequences import (
    Corrupt,
    DatasetRows,
    Sequences,
    TaskExamples,
    distinct_sequences,
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
        rows: number of rows with targets, of each task that has any.
        items: number of items of the loss of each of these tasks, weighted by the weights of the rows.
        unweighted_items: the same numbers without the weights of the rows.
    """

    lengths: NDArray[np.int64]
    sequences: NDArray[np.int64]
    longest: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    rows: Mapping[str, int]
    items: Mapping[str, float]
    unweighted_items: Mapping[str, int]


@dataclass(frozen=True)
class Collator:
    """Collates rows of several tokenized datasets into batches.

    Args:
        datasets: the datasets, in the order that rows refer to them.
        pad: the id of the padding token.
        types: whether the encoder takes token type ids.
        words: whether a head reads words.
        corrupt: `Task.corrupt` of the tasks that define it.
        names: names of the datasets, which seed the modified copies; needed with `corrupt`.
        seed: seed of the run, which seeds the modified copies.
    """

    datasets: Sequence[TokenizedSplit]
    pad: int
    types: bool
    words: bool = False
    corrupt: Mapping[str, Corrupt] = field(default_factory=dict)
    names: Sequence[str] = ()
    seed: int = 0

    def __call__(self, rows: RowRefs, *, tasks: Collection[str] | None = None) -> Batch:
        """Return a batch of the distinct sequences of the examples, in the order of the rows.

        Args:
            rows: the rows.
            tasks: names of the tasks whose examples are in the batch; default: all.

        Raises:
            RunError: `Task.corrupt` fails or returns invalid values, such as another count of targets.
        """
        import torch

        by_dataset = self._dataset_rows(rows)
        parts = [self._sequences(dataset_rows, tasks) for dataset_rows in by_dataset]
        indices = _batch_indices(by_dataset, parts)
        total = sum(map(len, indices))
        lengths = np.empty(total, dtype=np.int64)
        for index, part in zip(indices, parts, strict=True):
            lengths[index] = part.tokens.lengths
        sequence_length = int(lengths.max())
        types, words = None, None
        if self.types:
            types = pad_rows([part.tokens.types for part in parts], indices, shape=(total, sequence_length), fill=0)
        if self.words:
            first_tokens = [part.tokens.first_tokens for part in parts]
            counts = [int(rows.lengths.max(initial=0)) for rows in first_tokens if rows is not None]
            words = pad_rows(first_tokens, indices, shape=(total, max(counts, default=0)), fill=NO_TOKEN)
        return Batch(
            input_ids=pad_rows(
                [part.tokens.ids for part in parts], indices, shape=(total, sequence_length), fill=self.pad
            ),
            attention_mask=torch.from_numpy((np.arange(sequence_length) < lengths[:, None]).astype(np.int64)),
            token_type_ids=types,
            tasks=_task_batches(by_dataset, parts, indices, sequence_length=sequence_length, words=self.words),
            words=words,
        )

    def count(self, rows: RowRefs) -> BatchStats:
        """Return the counts of rows."""
        sizes, labelled = np.empty((3, len(rows)), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_)
        row_counts: dict[str, int] = {}
        items: dict[str, float] = {}
        unweighted_items: dict[str, int] = {}
        for dataset, (positions, indices, _) in _by_dataset(rows).items():
            split, batch_rows = self.datasets[dataset], np.array(positions)
            sizes[:, batch_rows] = self._row_sizes[dataset][:, indices]
            for task, labels in split.labels.items():
                counts = labels.counts[indices]
                has_label = counts > 0
                count = int(np.count_nonzero(has_label))
                if count:
                    labelled[batch_rows] |= has_label
                    row_counts[task] = row_counts.get(task, 0) + count
                    weights, total = split.weights.get(task), int(counts.sum())
                    weighted = total if weights is None else float((counts * weights[indices]).sum())
                    items[task] = items.get(task, 0) + weighted
                    unweighted_items[task] = unweighted_items.get(task, 0) + total
        lengths, sequences, longest = sizes
        return BatchStats(lengths, sequences, longest, labelled, row_counts, items, unweighted_items)

    def has_label(self, rows: RowRefs, *, task: str) -> NDArray[np.bool_]:
        """Return whether each row has targets for a task, ``[rows]``."""
        has_label = np.zeros(len(rows), dtype=np.bool_)
        for dataset, (positions, indices, _) in _by_dataset(rows).items():
            labels = self.datasets[dataset].labels
            if task in labels:
                has_label[positions] = labels[task].counts[indices] > 0
        return has_label

    @cached_property
    def _row_sizes(self) -> list[NDArray[np.int64]]:
        """The fields of `RowSizes` of the rows of each dataset, ``[3, rows]``."""
        corrupted = self.corrupt.keys()
        return [np.stack(row_sizes(split, corrupted=corrupted & split.labels.keys())) for split in self.datasets]

    def _dataset_rows(self, rows: RowRefs) -> list[DatasetRows]:
        """Return the rows by dataset, in the order in which the datasets appear."""
        return [
            DatasetRows(
                self.datasets[dataset],
                batch_positions=np.array(positions),
                row_indices=np.array(indices),
                passes=passes,
                name=self.names[dataset] if self.names else "",
            )
            for dataset, (positions, indices, passes) in _by_dataset(rows).items()
        ]

    def _sequences(self, rows: DatasetRows, tasks: Collection[str] | None) -> Sequences:
        """Return the sequences and examples of the rows of one dataset."""
        split = rows.split
        examples = {}
        for task, labels in split.labels.items():
            if tasks is None or task in tasks:
                labelled = np.flatnonzero(labels.counts[rows.row_indices] > 0)
                if len(labelled):
                    examples[task] = labelled
        if split.sequence_indices or not self.corrupt.keys().isdisjoint(examples):
            return distinct_sequences(rows, examples, corrupt=self.corrupt, seed=self.seed)
        by_task = {task: TaskExamples(labelled, labelled) for task, labelled in examples.items()}
        return Sequences(split.tokens.take(rows.row_indices), rows.batch_positions, by_task)


def _by_dataset(rows: RowRefs) -> dict[int, tuple[list[int], list[int], list[int]]]:
    """Return dataset → positions in the batch, indices and passes of its rows; datasets in order of appearance."""
    by_dataset: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for position, row in enumerate(rows):
        positions, indices, passes = by_dataset.setdefault(row[0], ([], [], []))
        positions.append(position)
        indices.append(row[1])
        passes.append(row[2] if len(row) > 2 else 0)
    return by_dataset


def _batch_indices(by_dataset: Sequence[DatasetRows], parts: Sequence[Sequences]) -> list[NDArray[np.int64]]:
    """Return the batch indices of the sequences of each dataset; the batch has them in the order of their rows."""
    one_per_row = (part.batch_positions is rows.batch_positions for rows, part in zip(by_dataset, parts, strict=True))
    if all(one_per_row):
        return [part.batch_positions for part in parts]
    positions = np.concatenate([part.batch_positions for part in parts])
    index = np.empty(len(positions), dtype=np.int64)
    index[positions.argsort(kind="stable")] = np.arange(len(positions))
    return np.split(index, np.cumsum([len(part.batch_positions) for part in parts])[:-1])


class _Piece(NamedTuple):
    """The examples of a task that are from one dataset.

    Args:
        batch_positions: position of each row in the batch, ``[examples]``.
        sequences: batch indices of their sequences, example by example.
        sequence_counts: number of sequences of each example; None: one each.
        targets: targets of the loss, by name.
        weight: weights of the examples; None: all are 1.
        sequence_length: number of tokens of the longest sequence; None for targets as long as the batch.
        words: number of words of the longest sequence; 0 if no head reads words.
    """

    batch_positions: NDArray[np.int64]
    sequences: NDArray[np.int64]
    sequence_counts: NDArray[np.int64] | None
    targets: dict[str, Tensor]
    weight: NDArray[np.float64] | None
    sequence_length: int | None
    words: int


def _task_batches(
    by_dataset: Sequence[DatasetRows],
    parts: Sequence[Sequences],
    indices: Sequence[NDArray[np.int64]],
    *,
    sequence_length: int,
    words: bool,
) -> dict[str, TaskBatch]:
    """Return the part of each task, joined over the datasets that have targets for it, in the order of the rows."""
    pieces: dict[str, list[_Piece]] = {}
    for rows, part, index in zip(by_dataset, parts, indices, strict=True):
        for task, examples in part.tasks.items():
            pieces.setdefault(task, []).append(
                _piece(task, examples, rows, part, index, sequence_length=sequence_length, words=words)
            )
    return {task: _join(task_pieces) for task, task_pieces in pieces.items()}


def _piece(
    task: str,
    examples: TaskExamples,
    rows: DatasetRows,
    part: Sequences,
    index: NDArray[np.int64],
    *,
    sequence_length: int,
    words: bool,
) -> _Piece:
    labels, indices = rows.split.labels[task], rows.row_indices[examples.examples]
    weights, first_tokens = rows.split.weights.get(task), part.tokens.first_tokens
    targets = examples.targets
    if targets is None:
        tagged = first_tokens.take(examples.sequences) if isinstance(labels, TagLabels) and first_tokens else None
        targets = labels.targets(indices, first_tokens=tagged, sequence_length=sequence_length)
    has_batch_length = labels.padded_to_batch and examples.targets is None
    return _Piece(
        batch_positions=rows.batch_positions[examples.examples],
        sequences=index[examples.sequences],
        sequence_counts=examples.sequence_counts,
        targets=targets,
        weight=None if weights is None else weights[indices],
        sequence_length=None if has_batch_length else int(part.tokens.lengths[examples.sequences].max()),
        words=0 if first_tokens is None or not words else int(first_tokens.lengths[examples.sequences].max()),
    )


def _join(pieces: Sequence[_Piece]) -> TaskBatch:
    """Return the examples of a task from all datasets, in the order of their rows."""
    import torch

    first = pieces[0]
    if len(pieces) == 1 and first.sequence_counts is None:
        weight = None if first.weight is None else torch.from_numpy(first.weight)
        return TaskBatch(
            torch.from_numpy(first.sequences),
            first.targets,
            weight,
            sequence_length=first.sequence_length,
            words=first.words,
        )
    if all(piece.sequence_counts is None for piece in pieces) and all(piece.weight is None for piece in pieces):
        sequences = np.concatenate([piece.sequences for piece in pieces])
        order = sequences.argsort()
        by_row = torch.from_numpy(order)
        targets = {name: join_padded([piece.targets[name] for piece in pieces])[by_row] for name in first.targets}
        words = max(piece.words for piece in pieces)
        return TaskBatch(
            torch.from_numpy(sequences[order]), targets, sequence_length=_longest_sequence(pieces), words=words
        )
    return _join_grouped(pieces)


def _longest_sequence(pieces: Sequence[_Piece]) -> int | None:
    sequence_lengths = [piece.sequence_length for piece in pieces if piece.sequence_length is not None]
    return max(sequence_lengths) if len(sequence_lengths) == len(pieces) else None


def _join_grouped(pieces: Sequence[_Piece]) -> TaskBatch:
    """Return the examples of a task, some of which have several sequences or weights."""
    import torch

    first = pieces[0]
    counts = np.concatenate(
        [np.ones(len(p.sequences), dtype=np.int64) if p.sequence_counts is None else p.sequence_counts for p in pieces]
    )
    order = np.concatenate([piece.batch_positions for piece in pieces]).argsort(kind="stable")
    bounds = row_bounds(counts)
    by_example = Ragged(np.concatenate([piece.sequences for piece in pieces]), bounds).take(order)
    sequence_order = Ragged(np.arange(bounds[-1]), bounds).take(order).values
    targets = {}
    for name in first.targets:
        values = join_padded([piece.targets[name] for piece in pieces])
        # With as many sequences as examples, each example has one, and both orders are the same.
        targets[name] = values[torch.from_numpy(order if len(values) == len(order) else sequence_order)]
    weight = None
    if any(piece.weight is not None for piece in pieces):
        weights = [np.ones(len(piece.batch_positions)) if piece.weight is None else piece.weight for piece in pieces]
        weight = torch.from_numpy(np.concatenate(weights)[order])
    example, position = by_example.indices_2d()
    grouped = bool((counts != 1).any())
    return TaskBatch(
        torch.from_numpy(by_example.values),
        targets,
        weight,
        example=torch.from_numpy(example) if grouped else None,
        position=torch.from_numpy(position) if grouped else None,
        sequence_length=_longest_sequence(pieces),
        words=max(piece.words for piece in pieces),
    )

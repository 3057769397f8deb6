"""Token sequences of a batch, deduplicated over tasks. A task with `Task.corrupt` gets modified copies of its own."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.example import TokenSequence
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import Targets, stack_targets
from nlpmtl.data.token_store import Tokens
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

Corrupt = Callable[[Sequence[TokenSequence], Targets, np.random.Generator], tuple[Sequence[TokenSequence], Targets]]
"""Signature of `Task.corrupt`."""


class DatasetRows(NamedTuple):
    """The rows of a batch that are from one dataset.

    Args:
        split: the tokenized split that the rows are from.
        batch_positions: position of each row in the batch, ``[rows]``.
        row_indices: index of each row in the split, ``[rows]``.
        passes: index of the pass (epoch) over the dataset in which each row is trained on, ``[rows]``.
        name: name of the dataset.
    """

    split: TokenizedSplit
    batch_positions: NDArray[np.int64]
    row_indices: NDArray[np.int64]
    passes: Sequence[int]
    name: str


class TaskExamples(NamedTuple):
    """The examples of a task among the rows of one dataset.

    Args:
        examples: indices into the rows, ``[examples]``.
        sequences: indices into `Sequences.tokens`, example by example, ``[sequences]``.
        sequence_counts: number of sequences of each example, ``[examples]``; None: one each.
        targets: targets that `Task.corrupt` returned; None: the targets come from the labels.
    """

    examples: NDArray[np.int64]
    sequences: NDArray[np.int64]
    sequence_counts: NDArray[np.int64] | None = None
    targets: dict[str, Tensor] | None = None


class Sequences(NamedTuple):
    """The distinct token sequences of each row of one dataset, followed by the copies of tasks with `Task.corrupt`.

    Args:
        tokens: the sequences.
        batch_positions: position in the batch of each sequence's row, ``[sequences]``.
        tasks: the examples of each task.
    """

    tokens: Tokens
    batch_positions: NDArray[np.int64]
    tasks: dict[str, TaskExamples]


class RowSizes(NamedTuple):
    """Sizes of rows, over all sequences of each row; arrays of shape ``[rows]``.

    Args:
        tokens: number of tokens.
        sequences: number of sequences.
        longest: number of tokens of the longest sequence.
    """

    tokens: NDArray[np.int64]
    sequences: NDArray[np.int64]
    longest: NDArray[np.int64]


def row_sizes(split: TokenizedSplit, *, corrupted: Collection[str]) -> RowSizes:
    """Return the sizes of the rows of a split.

    A sequence that several tasks use unmodified counts once. Each task with `Task.corrupt` adds the lengths of its
    original sequences, as an estimate of those of the copies.

    Args:
        split: the rows.
        corrupted: names of the tasks with `Task.corrupt`.
    """
    lengths = split.tokens.lengths
    if not corrupted and not split.sequence_indices:
        return RowSizes(lengths, np.ones(len(split), dtype=np.int64), lengths)
    sizes = RowSizes(*np.zeros((3, len(split)), dtype=np.int64))
    row_of = np.full(len(lengths), -1, dtype=np.int64)  # row of each sequence that is used unmodified; -1: none
    for task in split.labels:
        indices = split.sequences_of(task)
        row, _ = indices.indices_2d()
        if task in corrupted:
            _add_sizes(sizes, row, lengths[indices.values])
        else:
            row_of[indices.values] = row
    _add_sizes(sizes, row_of[row_of >= 0], lengths[row_of >= 0])
    return sizes


def _add_sizes(sizes: RowSizes, row: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    """Add sequences to the sizes of their rows, given the row and length of each."""
    np.add.at(sizes.tokens, row, lengths)
    np.add.at(sizes.sequences, row, 1)
    np.maximum.at(sizes.longest, row, lengths)


def distinct_sequences(
    rows: DatasetRows, examples: Mapping[str, NDArray[np.int64]], *, corrupt: Mapping[str, Corrupt], seed: int
) -> Sequences:
    """Return the distinct sequences of each row, followed by the modified copies.

    Args:
        rows: the rows.
        examples: task → indices into the rows of those with targets for it.
        corrupt: `Task.corrupt` of the tasks that define it.
        seed: seed of the run.
    """
    split = rows.split
    size = max(1, len(split.tokens.lengths))  # sequence s of the row with index r in `rows` has the key r · size + s
    keys, counts = {}, {}
    for task, labelled in examples.items():
        if task not in corrupt:
            indices = split.sequences_of(task).take(rows.row_indices[labelled])
            keys[task], counts[task] = labelled.repeat(indices.lengths) * size + indices.values, indices.lengths
    distinct = np.unique(np.concatenate(list(keys.values()))) if keys else np.zeros(0, dtype=np.int64)
    tasks = {task: TaskExamples(examples[task], np.searchsorted(distinct, keys[task]), counts[task]) for task in keys}
    sequences = Sequences(split.tokens.take(distinct % size), rows.batch_positions[distinct // size], tasks)
    for task, labelled in examples.items():
        if task in corrupt:
            sequences = _add_copies(sequences, task, labelled, rows=rows, corrupt=corrupt[task], seed=seed)
    return sequences


def _add_copies(
    sequences: Sequences, task: str, labelled: NDArray[np.int64], *, rows: DatasetRows, corrupt: Corrupt, seed: int
) -> Sequences:
    """Add the modified copies of the sequences of a task."""
    split, labels = rows.split, rows.split.labels[task]
    indices = split.sequences_of(task).take(rows.row_indices[labelled])
    all_originals = split.tokens.sequences(indices.values)
    copies: list[TokenSequence] = []
    counts, all_targets = np.empty(len(labelled), dtype=np.int64), []
    for i, index in enumerate(labelled.tolist()):
        row = int(rows.row_indices[index])
        originals = all_originals[indices.bounds[i] : indices.bounds[i + 1]]
        first_tokens = None if originals[0].words is None else Ragged.pack([originals[0].words])
        length = len(originals[0].ids)
        targets = labels.example_targets(row, first_tokens=first_tokens, sequence_length=length)
        rng = _generator(seed, task=task, dataset=rows.name, row=row, pass_=rows.passes[index])
        where = f"{split.place(row)}: task {task!r}: corrupt()"
        try:
            modified, targets = corrupt(originals, targets, rng)
        except Exception as error:
            raise RunError(f"{where} failed: {type(error).__name__}: {error}") from error
        problem = _find_problem(modified, targets, count=int(labels.counts[row]))
        if problem:
            raise RunError(f"{where} {problem}")
        copies.extend(modified)
        all_targets.append(targets)
        counts[i] = len(modified)
    new = np.arange(len(copies)) + len(sequences.batch_positions)
    tasks = {**sequences.tasks, task: TaskExamples(labelled, new, counts, stack_targets(all_targets))}
    batch_positions = np.concatenate([sequences.batch_positions, rows.batch_positions[labelled].repeat(counts)])
    return Sequences(_append(sequences.tokens, copies), batch_positions, tasks)


def _find_problem(copies: Sequence[TokenSequence], targets: Targets, *, count: int) -> str | None:
    """Return what is wrong with the values that `Task.corrupt` returned; None if nothing is."""
    if targets.count != count:
        return f"changed the count of the targets from {count} to {targets.count}: return targets with the same count"
    if not copies:
        return "returned no sequences: return at least one modified copy"
    for copy in copies:
        ids = np.asarray(copy.ids)
        if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu":
            return f"returned token ids of type {ids.dtype} and shape {list(ids.shape)}: return integers, [tokens]"
        if copy.type_ids is not None and len(copy.type_ids) != len(ids):
            return f"returned {len(copy.type_ids)} type ids for {len(ids)} token ids: return one for each"
    return None


def _append(tokens: Tokens, copies: Sequence[TokenSequence]) -> Tokens:
    types, first_tokens = tokens.types, tokens.first_tokens
    if types is not None:
        zeros = (np.zeros(len(copy.ids), dtype=np.int8) for copy in copies)
        packed = [zero if copy.type_ids is None else copy.type_ids for copy, zero in zip(copies, zeros, strict=True)]
        types = Ragged.join([types, Ragged.pack(packed, dtype=types.values.dtype)])
    if first_tokens is not None:
        first_tokens = Ragged.join([first_tokens, Ragged.pack([() if c.words is None else c.words for c in copies])])
    return Tokens(Ragged.join([tokens.ids, Ragged.pack([copy.ids for copy in copies])]), types, first_tokens)


def _generator(seed: int, *, task: str, dataset: str, row: int, pass_: int) -> np.random.Generator:
    """Return the random generator of `Task.corrupt` for one task, row and pass."""
    digest = struct.unpack(">8I", hashlib.sha256(f"{task}\0{dataset}".encode()).digest())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *digest, row, pass_])))

"""The token sequences that rows read: equal ones once for all tasks, and the changed copies of single tasks."""

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
"""`Task.corrupt`."""


class DatasetRows(NamedTuple):
    """The rows of a batch that are from one dataset.

    Args:
        split: the dataset.
        places: their places in the batch, ``[rows]``.
        rows: their indices in the dataset, ``[rows]``.
        passes: the pass over the dataset in which each is trained on, ``[rows]``.
        name: name of the dataset.
    """

    split: TokenizedSplit
    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    passes: Sequence[int]
    name: str


class TaskExamples(NamedTuple):
    """The examples of a task in a group.

    Args:
        examples: their places among the rows of the group, ``[examples]``.
        sequences: the sequences that they read, among those of the group, grouped by example, ``[sequences]``.
        sizes: number of sequences of each example, ``[examples]``; None: 1.
        targets: targets of changed copies; None: those of the labels.
    """

    examples: NDArray[np.int64]
    sequences: NDArray[np.int64]
    sizes: NDArray[np.int64] | None = None
    targets: dict[str, Tensor] | None = None


class Sequences(NamedTuple):
    """The different sequences that the rows of a group read.

    Args:
        tokens: the sequences.
        place: place in the batch of the row of each, ``[sequences]``.
        tasks: the examples of each task.
    """

    tokens: Tokens
    place: NDArray[np.int64]
    tasks: dict[str, TaskExamples]


class RowSizes(NamedTuple):
    """The sizes of rows, over all sequences that the tasks read; each ``[rows]``.

    Args:
        tokens: number of tokens.
        sequences: number of sequences.
        longest: number of tokens of the longest sequence.
    """

    tokens: NDArray[np.int64]
    sequences: NDArray[np.int64]
    longest: NDArray[np.int64]


def row_sizes(split: TokenizedSplit, *, copied: Collection[str]) -> RowSizes:
    """Return the sizes of the rows of a split: equal sequences of a row count once, changed copies by themselves.

    Args:
        split: the rows.
        copied: names of the tasks that read copies of their sequences.
    """
    lengths = split.tokens.lengths
    if not copied and not split.places:
        return RowSizes(lengths, np.ones(len(split), dtype=np.int64), lengths)
    sizes = RowSizes(*np.zeros((3, len(split)), dtype=np.int64))
    row_of = np.full(len(lengths), -1, dtype=np.int64)  # of each sequence that a task reads unchanged
    for task in split.labels:
        read = split.sequences_of(task)
        row, _ = read.indices_2d()
        if task in copied:
            _add_sizes(sizes, row, lengths[read.values])
        else:
            row_of[read.values] = row
    _add_sizes(sizes, row_of[row_of >= 0], lengths[row_of >= 0])
    return sizes


def _add_sizes(sizes: RowSizes, row: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    """Add sequences, given the row and the length of each."""
    np.add.at(sizes.tokens, row, lengths)
    np.add.at(sizes.sequences, row, 1)
    np.maximum.at(sizes.longest, row, lengths)


def read_sequences(
    group: DatasetRows, examples: Mapping[str, NDArray[np.int64]], *, corrupt: Mapping[str, Corrupt], seed: int
) -> Sequences:
    """Return the sequences that the rows of a group read: equal ones of a row once, then the changed copies.

    Args:
        group: the rows.
        examples: task -> places of the rows with targets for it.
        corrupt: `Task.corrupt` of the tasks that read changed copies.
        seed: seed of the run.
    """
    split = group.split
    size = max(1, len(split.tokens.lengths))  # sequence s of the row at place p has the key p · size + s
    keys, sizes = {}, {}
    for task, rows in examples.items():
        if task not in corrupt:
            read = split.sequences_of(task).take(group.rows[rows])
            keys[task], sizes[task] = rows.repeat(read.lengths) * size + read.values, read.lengths
    distinct = np.unique(np.concatenate(list(keys.values()))) if keys else np.zeros(0, dtype=np.int64)
    tasks = {task: TaskExamples(examples[task], np.searchsorted(distinct, keys[task]), sizes[task]) for task in keys}
    sequences = Sequences(split.tokens.take(distinct % size), group.places[distinct // size], tasks)
    for task, rows in examples.items():
        if task in corrupt:
            sequences = _add_copies(sequences, task, rows, group=group, corrupt=corrupt[task], seed=seed)
    return sequences


def _add_copies(
    sequences: Sequences, task: str, rows: NDArray[np.int64], *, group: DatasetRows, corrupt: Corrupt, seed: int
) -> Sequences:
    """Add the changed copies that a task reads."""
    split, labels = group.split, group.split.labels[task]
    read = split.sequences_of(task).take(group.rows[rows])
    sequences_read = split.tokens.sequences(read.values)
    copies: list[TokenSequence] = []
    sizes, all_targets = np.empty(len(rows), dtype=np.int64), []
    for i, place in enumerate(rows.tolist()):
        row = int(group.rows[place])
        originals = sequences_read[read.bounds[i] : read.bounds[i + 1]]
        words = None if originals[0].words is None else Ragged.pack([originals[0].words])
        targets = labels.example_targets(row, first_tokens=words, time=len(originals[0].ids))
        rng = _generator(seed, task=task, dataset=group.name, row=row, pass_=group.passes[place])
        where = f"{split.place(row)}: task {task!r}: corrupt()"
        try:
            changed, targets = corrupt(originals, targets, rng)
        except Exception as error:
            raise RunError(f"{where} failed: {type(error).__name__}: {error}") from error
        problem = _find_problem(changed, targets, count=int(labels.counts[row]))
        if problem:
            raise RunError(f"{where} {problem}")
        copies.extend(changed)
        all_targets.append(targets)
        sizes[i] = len(changed)
    indices = np.arange(len(copies)) + len(sequences.place)
    tasks = {**sequences.tasks, task: TaskExamples(rows, indices, sizes, stack_targets(all_targets))}
    place = np.concatenate([sequences.place, group.places[rows].repeat(sizes)])
    return Sequences(_append(sequences.tokens, copies), place, tasks)


def _find_problem(copies: Sequence[TokenSequence], targets: Targets, *, count: int) -> str | None:
    """Return what is wrong with the values that `Task.corrupt` returned; None if nothing is."""
    if targets.count != count:
        return f"changed the count of the targets from {count} to {targets.count}: return targets with the same count"
    if not copies:
        return "returned no sequences: return at least one changed copy"
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
    """Return the generator of the copies that a task reads of a row in a pass."""
    words = struct.unpack(">8I", hashlib.sha256(f"{task}\0{dataset}".encode()).digest())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words, row, pass_])))

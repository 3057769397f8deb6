"""Batches: rows of similar length together, padded token sequences, and the examples of each task."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.ragged import Ragged

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Row = TypeVar("_Row")


class TaskBatch:
    """One task's part of a batch: the examples that have targets, and their sequences.

    Args:
        sequences: indices of the sequences of the batch, grouped by example, ``[sequences]``.
        targets: targets of the loss, by name: ``[examples, ...]`` or ``[sequences, ...]``. Padding is -100 for
            integers, NaN for numbers, False for booleans.
        weight: weight of each example in the loss, ``[examples]``; None: all are 1.
        example: the index of the example of each sequence, in ascending order, ``[sequences]``; default: one sequence
            per example.
        position: index of each sequence among those of its example, ``[sequences]``; given together with `example`.
        sequence_length: number of tokens of the longest sequence, which is the length of targets by token: outputs by
            token are truncated to it. None: targets by token have the length of the batch.
        words: number of words of the longest sequence, which is the length of targets by word.

    >>> import torch
    >>> part = TaskBatch(torch.tensor([0, 1, 2]), {"label": torch.tensor([1, 0])},
    ...                  example=torch.tensor([0, 0, 1]), position=torch.tensor([0, 1, 0]))
    >>> part.by_example(torch.tensor([5.0, 6.0, 7.0]), fill=-1.0).tolist()
    [[5.0, 6.0], [7.0, -1.0]]
    >>> part.mean_by_example(torch.tensor([5.0, 6.0, 7.0])).tolist()
    [5.5, 7.0]
    """

    def __init__(
        self,
        sequences: Tensor,
        targets: Mapping[str, Tensor],
        weight: Tensor | None = None,
        *,
        example: Tensor | None = None,
        position: Tensor | None = None,
        sequence_length: int | None = None,
        words: int = 0,
    ) -> None:
        self.sequences, self.targets, self.weight = sequences, targets, weight
        self.sequence_length, self.words = sequence_length, words
        self._grouping = None if example is None or position is None else (example, position)

    @property
    def example(self) -> Tensor:
        """The index of the example of each sequence, in ascending order, ``[sequences]``."""
        import torch

        if self._grouping is None:
            return torch.arange(len(self.sequences), device=self.sequences.device)
        return self._grouping[0]

    @property
    def position(self) -> Tensor:
        """Index of each sequence among those of its example, ``[sequences]``."""
        import torch

        return torch.zeros_like(self.sequences) if self._grouping is None else self._grouping[1]

    @property
    def examples(self) -> int:
        """Number of examples."""
        if self.weight is not None:
            return len(self.weight)
        return len(self.sequences) if self._grouping is None else len(self.sizes)

    @cached_property
    def sizes(self) -> Tensor:
        """Number of sequences of each example, ``[examples]``."""
        return self.example.bincount()

    def by_example(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Return values of sequences by example: ``[sequences, ...]`` -> ``[examples, most sequences, ...]``.

        Args:
            values: one value or array per sequence.
            fill: value of the sequences that an example has fewer than others.
        """
        if self._grouping is None:
            return values.unsqueeze(1)
        example, position = self._grouping
        shape = (len(self.sizes), int(self.sizes.max()), *values.shape[1:])
        return values.new_full(shape, fill).index_put((example, position), values)

    def mean_by_example(self, values: Tensor) -> Tensor:
        """Return the mean over the sequences of each example: ``[sequences, ...]`` -> ``[examples, ...]``."""
        if self._grouping is None:
            return values
        sizes = self.sizes.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
        return self.by_example(values).sum(dim=1) / sizes

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors; `replace` takes them in this order."""
        optional = [*(self._grouping or ()), *([] if self.weight is None else [self.weight])]
        return [self.sequences, *self.targets.values(), *optional]

    def replace(self, tensors: Iterator[Tensor]) -> TaskBatch:
        """Return the same part with other tensors, such as copies on a device."""
        sequences = next(tensors)
        targets = {name: next(tensors) for name in self.targets}
        example, position = (None, None) if self._grouping is None else (next(tensors), next(tensors))
        weight = None if self.weight is None else next(tensors)
        return TaskBatch(
            sequences,
            targets,
            weight,
            example=example,
            position=position,
            sequence_length=self.sequence_length,
            words=self.words,
        )


@dataclass(frozen=True)
class Batch:
    """Token sequences of any tasks, padded to the longest.

    Args:
        input_ids: token ids, ``[sequences, sequence_length]``.
        attention_mask: 1 on tokens, 0 on padding, ``[sequences, sequence_length]``.
        token_type_ids: token type ids, ``[sequences, sequence_length]``; None for encoders that take none.
        tasks: the part of each task that has examples here.
        words: first token of each word, -1 for none, ``[sequences, most words]``; None if no head reads words.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    tasks: Mapping[str, TaskBatch]
    words: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor]:
        """Arguments of the encoder, by name."""
        inputs = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        return inputs if self.token_type_ids is None else {**inputs, "token_type_ids": self.token_type_ids}

    def to(self, device: torch.device) -> Batch:
        """Return the same batch on a device; it is on the CPU."""
        if device.type == "cpu":
            return self
        optional = [tensor for tensor in (self.token_type_ids, self.words) if tensor is not None]
        of_tasks = [tensor for task in self.tasks.values() for tensor in task.tensors]
        moved = iter(to_device([self.input_ids, self.attention_mask, *optional, *of_tasks], device))
        ids, mask = next(moved), next(moved)
        types = None if self.token_type_ids is None else next(moved)
        words = None if self.words is None else next(moved)
        return Batch(ids, mask, types, {name: task.replace(moved) for name, task in self.tasks.items()}, words)


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy CPU tensors of any shape and type to a device, in one copy per type.

    Copies to a GPU were not run since 2026-11-27 (commit 809f76f, torch 2.11 on an H100); only names have changed.
    """
    import torch

    if device.type == "cpu":
        return list(tensors)
    moved: dict[int, Tensor] = {}
    for dtype in {tensor.dtype for tensor in tensors}:
        indices = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].flatten() for i in indices])
        pinned = flat.pin_memory() if device.type == "cuda" else flat
        parts = pinned.to(device, non_blocking=True).split([tensors[i].numel() for i in indices])
        moved |= {i: part.view(tensors[i].shape) for i, part in zip(indices, parts, strict=True)}
    return [moved[i] for i in range(len(tensors))]


def pad_rows(
    parts: Sequence[Ragged | None], indices: Sequence[NDArray[np.int64]], *, shape: tuple[int, int], fill: int
) -> Tensor:
    """Return the rows of ragged arrays, as one padded matrix; `indices` has the output row of each."""
    import torch

    padded = np.full(shape, fill, dtype=np.int64)
    for part, index in zip(parts, indices, strict=True):
        if part is not None:
            row, column = part.indices_2d()
            padded[index[row], column] = part.values
    return torch.from_numpy(padded)


def optimal_length_batches(
    lengths: Sequence[int], *, overhead: int, limit: int | None = None, counts: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Return the consecutive batches that minimise padded tokens plus an overhead per batch.

    Dynamic programming over the ends of batches, in n log n time: for each start, the cost of a batch is linear in the
    number of its sequences, with a smaller slope for later starts, so a later start is better from some end on. Among
    starts with equal cost, the first is chosen.

    Args:
        lengths: the tokens of the longest sequence of each row, ≥ 1, in descending order.
        overhead: the fixed cost of a batch, in tokens.
        limit: the maximum padded tokens of a batch; default: none. A row that exceeds it is a batch by itself.
        counts: the number of sequences of each row, ≥ 1; default: 1.

    Returns:
        Start and end (exclusive) of each batch.
    """
    count = len(lengths)
    before = list(range(count + 1)) if counts is None else [0, *accumulate(counts)]  # sequences before each row
    cost, start, last = [0] * (count + 1), [0] * (count + 1), [0] * count
    best: deque[tuple[int, int]] = deque()  # (start, the first end for which it is the best one)

    def end_from_which(new: int, old: int) -> int:
        """Return the first end for which the new start is cheaper, or the old batch exceeds the limit."""
        steeper = lengths[old] - lengths[new]
        behind = (cost[new] - before[new] * lengths[new]) - (cost[old] - before[old] * lengths[old])
        if steeper > 0:
            return min(bisect_right(before, behind // steeper), last[old] + 1)
        return 0 if behind < 0 else last[old] + 1

    for end in range(1, count + 1):
        new = end - 1
        fitting = count if limit is None else bisect_right(before, before[new] + limit // lengths[new]) - 1
        last[new] = max(end, fitting)
        while best and (ahead := end_from_which(new, best[-1][0])) <= max(best[-1][1], end):
            best.pop()
        if not best:
            best.append((new, end))
        elif ahead <= last[new]:
            best.append((new, ahead))
        while len(best) > 1 and best[1][1] <= end:
            best.popleft()
        start[end] = best[0][0]
        cost[end] = cost[start[end]] + overhead + (before[end] - before[start[end]]) * lengths[start[end]]
    batches = []
    end = count
    while end > 0:
        batches.append((start[end], end))
        end = start[end]
    return batches[::-1]


def greedy_length_batches(lengths: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
    """Return consecutive batches, each filled up to a limit on tokens without padding.

    Args:
        lengths: the lengths of the rows in tokens, ≥ 1.
        limit: the maximum number of tokens of a batch. A longer row is a batch by itself.

    Returns:
        Start and end (exclusive) of each batch.
    """
    batches, start, size = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and size + length > limit:
            batches.append((start, i))
            start, size = i, 0
        size += length
    return [*batches, (start, len(lengths))] if lengths else []


def split_into_microbatches(
    rows: Sequence[_Row],
    *,
    lengths: Sequence[int],
    world_size: int,
    limit: int,
    overhead: int | None,
    counts: Sequence[int] | None = None,
) -> list[list[list[_Row]]]:
    """Split the rows of a step over all ranks, and those of each rank into micro-batches of similar length.

    Sorted by length, the rows are dealt to the ranks in turn, so that all ranks have similar work.

    Args:
        rows: rows of the step.
        lengths: number of tokens of each row; of its longest sequence if rows are padded.
        world_size: number of ranks.
        limit: maximum number of tokens in a micro-batch, padding included; a longer row is a micro-batch by itself.
        overhead: cost of a micro-batch besides its tokens, in tokens. None if rows are not padded: then micro-batches
            are filled greedily.
        counts: number of sequences of each row, if rows are padded; default: 1.

    Returns:
        The micro-batches of each rank. Ranks may have different numbers of them, or none.
    """
    order = sorted(range(len(rows)), key=lambda index: -lengths[index])
    split = []
    for rank in range(world_size):
        indices = order[rank::world_size]
        sorted_lengths = [lengths[index] for index in indices]
        if overhead is None:
            batches = greedy_length_batches(sorted_lengths, limit=limit)
        else:
            sorted_counts = None if counts is None else [counts[index] for index in indices]
            batches = optimal_length_batches(sorted_lengths, overhead=overhead, limit=limit, counts=sorted_counts)
        split.append([[rows[index] for index in indices[start:end]] for start, end in batches])
    return split

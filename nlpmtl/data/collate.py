"""A batch: padded tokens, and for each task the part of the rows that carry a label for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data.device_transfer import to_device
from nlpmtl.data.tokenized_split import TokenizedSplit


@dataclass(frozen=True)
class TaskBatch:
    """One task's part of a batch: the rows with a label for it.

    Args:
        rows: their indices in the batch, ``[examples]``, ascending.
        targets: what the loss reads, by name: ``[examples, ...]``, or of tokens ``[examples, time]``.
        weight: weight of each example in the loss, ``[examples]``; None: all are 1.
    """

    rows: Tensor
    targets: Mapping[str, Tensor]
    weight: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors; `replace` takes them in this order."""
        return [self.rows, *self.targets.values(), *([] if self.weight is None else [self.weight])]

    def replace(self, tensors: Iterator[Tensor]) -> TaskBatch:
        """Return the same part with other tensors, such as copies on a device."""
        rows = next(tensors)
        targets = {name: next(tensors) for name in self.targets}
        return TaskBatch(rows, targets, None if self.weight is None else next(tensors))


@dataclass(frozen=True)
class Batch:
    """Rows of any tasks, padded to the longest.

    Args:
        input_ids: tokens, ``[rows, time]``.
        attention_mask: 1 on tokens, 0 on padding, ``[rows, time]``.
        token_type_ids: segments, ``[rows, time]``, for encoders that have them.
        tasks: the part of each task that has rows here.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    tasks: Mapping[str, TaskBatch]

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the encoder takes, by its argument's name."""
        inputs = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        return inputs if self.token_type_ids is None else {**inputs, "token_type_ids": self.token_type_ids}

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; it is on the CPU."""
        types = [] if self.token_type_ids is None else [self.token_type_ids]
        parts = [tensor for task in self.tasks.values() for tensor in task.tensors]
        moved = iter(to_device([self.input_ids, self.attention_mask, *types, *parts], device))
        ids, mask, token_type_ids = next(moved), next(moved), next(moved) if types else None
        return Batch(ids, mask, token_type_ids, {name: task.replace(moved) for name, task in self.tasks.items()})


@dataclass(frozen=True)
class BatchStats:
    """What rows hold, counted without making a batch of them.

    Args:
        lengths: tokens of each row, ``[rows]``.
        labelled: whether each row carries a label for any task, ``[rows]``.
        rows: for each task that has any, how many of the rows carry a label for it …
        items: … and how many items its loss counts in them.
    """

    lengths: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    rows: Mapping[str, int]
    items: Mapping[str, int]


class _Share(NamedTuple):
    """The rows of a batch that come from one dataset: their places in the batch, and their numbers in the dataset."""

    source: TokenizedSplit
    at: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Collator:
    """Makes batches out of rows of several encoded datasets.

    Args:
        datasets: the datasets, in the order that rows refer to them.
        pad: the id of the padding token.
        types: whether the encoder takes segments.
    """

    datasets: Sequence[TokenizedSplit]
    pad: int
    types: bool

    def __call__(self, rows: Sequence[tuple[int, int]]) -> Batch:
        """A batch of (dataset, row) pairs."""
        shares = self._shares(rows)
        taken = [share.source.ids.take(share.rows) for share in shares]
        lengths = np.empty(len(rows), dtype=np.int64)
        for share, pieces in zip(shares, taken, strict=True):
            lengths[share.at] = pieces.lengths
        shape = len(rows), int(lengths.max())
        ids = np.full(shape, self.pad, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64) if self.types else None
        for share, pieces in zip(shares, taken, strict=True):
            row, place = pieces.indices_2d()
            ids[share.at[row], place] = pieces.values
            if types is not None and share.source.types is not None:
                types[share.at[row], place] = share.source.types.take(share.rows).values
        return Batch(
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy((np.arange(shape[1]) < lengths[:, None]).astype(np.int64)),
            token_type_ids=None if types is None else torch.from_numpy(types),
            tasks=_task_batches(shares, time=shape[1]),
        )

    def tally(self, rows: Sequence[tuple[int, int]]) -> BatchStats:
        """What (dataset, row) pairs hold."""
        lengths, labelled = np.empty(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_)
        many: dict[str, int] = {}
        items: dict[str, int] = {}
        for source, at, own in self._shares(rows):
            lengths[at] = source.ids.bounds[own + 1] - source.ids.bounds[own]
            for task, labels in source.labels.items():
                counts = labels.counts[own]
                carrying = counts > 0
                found = int(np.count_nonzero(carrying))
                if found:
                    labelled[at] |= carrying
                    many[task] = many.get(task, 0) + found
                    items[task] = items.get(task, 0) + int(counts.sum())
        return BatchStats(lengths, labelled, many, items)

    def carrying(self, rows: Sequence[tuple[int, int]], *, task: str) -> NDArray[np.bool_]:
        """Whether each (dataset, row) pair carries a label for a task, ``[rows]``."""
        carries = np.zeros(len(rows), dtype=np.bool_)
        for source, at, own in self._shares(rows):
            if task in source.labels:
                carries[at] = source.labels[task].counts[own] > 0
        return carries

    def _shares(self, rows: Sequence[tuple[int, int]]) -> list[_Share]:
        """By dataset, in the order in which they appear."""
        places: dict[int, tuple[list[int], list[int]]] = {}
        for i, (d, r) in enumerate(rows):
            at, own = places.setdefault(d, ([], []))
            at.append(i)
            own.append(r)
        return [_Share(self.datasets[d], np.array(at), np.array(own)) for d, (at, own) in places.items()]


def _task_batches(shares: Sequence[_Share], *, time: int) -> dict[str, TaskBatch]:
    """Return the part of each task, joined over the datasets that have labels for it, in the order of the rows."""
    found: dict[str, list[tuple[NDArray[np.int64], dict[str, Tensor]]]] = {}
    for source, at, rows in shares:
        for task, labels in source.labels.items():
            carrying = labels.counts[rows] > 0
            if carrying.any():
                targets = labels.targets(rows[carrying], first_tokens=source.first_tokens, time=time)
                found.setdefault(task, []).append((at[carrying], targets))
    parts = {}
    for task, pieces in found.items():
        indices, targets = pieces[0]
        if len(pieces) > 1:
            indices = np.concatenate([one for one, _ in pieces])
            order = indices.argsort()
            indices, order_tensor = indices[order], torch.from_numpy(order)
            targets = {name: torch.cat([one[name] for _, one in pieces])[order_tensor] for name in targets}
        parts[task] = TaskBatch(torch.from_numpy(indices), targets)
    return parts

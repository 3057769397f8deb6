"""A batch: padded wordpieces, and for each task the part of the rows that carry a label for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nlpmtl.data.encode import Encoded


@dataclass(frozen=True)
class Part:
    """One task's share of a batch.

    Args:
        rows: which rows of the batch carry a label for the task, ``[part]``, ascending.
        labels: their labels, ``[part]``, ``[part, labels]`` or ``[part, time]``, as the task's kind has it.
    """

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of any tasks, padded to the longest.

    Args:
        input_ids: wordpieces, ``[rows, time]``.
        attention_mask: 1 on wordpieces, 0 on padding, ``[rows, time]``.
        token_type_ids: segments, ``[rows, time]``, for encoders that have them.
        parts: the tasks that have rows here.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    parts: Mapping[str, Part]

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the encoder takes, by its argument's name."""
        inputs = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        return inputs if self.token_type_ids is None else {**inputs, "token_type_ids": self.token_type_ids}

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(
            input_ids=self.input_ids.to(device, non_blocking=True),
            attention_mask=self.attention_mask.to(device, non_blocking=True),
            token_type_ids=None if self.token_type_ids is None else self.token_type_ids.to(device, non_blocking=True),
            parts={task: Part(part.rows.to(device), part.labels.to(device)) for task, part in self.parts.items()},
        )


@dataclass(frozen=True)
class Collator:
    """Makes batches out of rows of several encoded datasets.

    Args:
        datasets: the datasets, in the order that rows refer to them.
        pad: the id of the padding wordpiece.
        types: whether the encoder takes segments.
    """

    datasets: Sequence[Encoded]
    pad: int
    types: bool

    def __call__(self, rows: Sequence[tuple[int, int]]) -> Batch:
        """A batch of (dataset, row) pairs."""
        lengths = [len(self.datasets[d].ids[r]) for d, r in rows]
        time = max(lengths)
        ids = torch.full((len(rows), time), self.pad, dtype=torch.int64)
        mask = torch.zeros(len(rows), time, dtype=torch.int64)
        types = torch.zeros(len(rows), time, dtype=torch.int64) if self.types else None
        for i, (d, r) in enumerate(rows):
            source = self.datasets[d]
            ids[i, : lengths[i]] = torch.from_numpy(source.ids[r])
            mask[i, : lengths[i]] = 1
            if types is not None and source.types is not None:
                types[i, : lengths[i]] = torch.from_numpy(source.types[r])
        return Batch(ids, mask, types, self._parts(rows, time))

    def _parts(self, rows: Sequence[tuple[int, int]], time: int) -> dict[str, Part]:
        """A task's labels are joined over the datasets that carry it, in the order of the batch's rows."""
        found: dict[str, list[tuple[int, Tensor]]] = {}
        for d in dict.fromkeys(d for d, _ in rows):
            source = self.datasets[d]
            for task, labels in source.labels.items():
                at = [i for i, (e, r) in enumerate(rows) if e == d and labels.counts[r] > 0]
                if at:
                    values = labels.tensor([rows[i][1] for i in at], firsts=source.firsts, time=time)
                    found.setdefault(task, []).extend(zip(at, values, strict=True))
        parts = {}
        for task, pairs in found.items():
            pairs.sort(key=lambda pair: pair[0])
            parts[task] = Part(torch.tensor([i for i, _ in pairs]), torch.stack([value for _, value in pairs]))
        return parts

"""A batch of padded token sequences, and for each task the examples in it that have targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.ragged import Ragged

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class TaskBatch:
    """One task's part of a batch: the examples that have targets, and the sequences that they read.

    Args:
        sequences: indices of the sequences of the batch, grouped by example, ``[sequences]``.
        targets: what the loss reads, by name: ``[examples, ...]`` or ``[sequences, ...]``. Padding is -100 for
            integers, NaN for numbers, False for booleans.
        weight: weight of each example in the loss, ``[examples]``; None: all are 1.
        example: the example of each sequence, ascending, ``[sequences]``; default: one sequence per example.
        position: place of each sequence among those of its example, ``[sequences]``; given together with `example`.
        time, words: number of tokens and of words of the longest sequence: outputs by token or word are cut to them, so
            that they have the length of targets by token or word. `time` is None where targets by token have the length
            of the batch.

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
        time: int | None = None,
        words: int = 0,
    ) -> None:
        self.sequences, self.targets, self.weight = sequences, targets, weight
        self.time, self.words = time, words
        self._grouping = None if example is None or position is None else (example, position)

    @property
    def example(self) -> Tensor:
        """The example of each sequence, ascending, ``[sequences]``."""
        import torch

        if self._grouping is None:
            return torch.arange(len(self.sequences), device=self.sequences.device)
        return self._grouping[0]

    @property
    def position(self) -> Tensor:
        """Place of each sequence among those of its example, ``[sequences]``."""
        import torch

        return torch.zeros_like(self.sequences) if self._grouping is None else self._grouping[1]

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
            sequences, targets, weight, example=example, position=position, time=self.time, words=self.words
        )


@dataclass(frozen=True)
class Batch:
    """Token sequences of any tasks, padded to the longest.

    Args:
        input_ids: token ids, ``[sequences, time]``.
        attention_mask: 1 on tokens, 0 on padding, ``[sequences, time]``.
        token_type_ids: segments, ``[sequences, time]``, for encoders that have them.
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
        optional = [tensor for tensor in (self.token_type_ids, self.words) if tensor is not None]
        parts = [tensor for task in self.tasks.values() for tensor in task.tensors]
        moved = iter(to_device([self.input_ids, self.attention_mask, *optional, *parts], device))
        ids, mask = next(moved), next(moved)
        types = None if self.token_type_ids is None else next(moved)
        words = None if self.words is None else next(moved)
        return Batch(ids, mask, types, {name: task.replace(moved) for name, task in self.tasks.items()}, words)


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy CPU tensors of any shape and type to a device, in one copy per type."""
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
    """Return the rows of ragged arrays, in the places that `indices` gives them, as one padded matrix."""
    import torch

    padded = np.full(shape, fill, dtype=np.int64)
    for part, index in zip(parts, indices, strict=True):
        if part is not None:
            row, place = part.indices_2d()
            padded[index[row], place] = part.values
    return torch.from_numpy(padded)

"""Task segments: the rows of each task, concatenated, so that one pass of an encoder serves all tasks.

Up to some layer an encoder computes the rows of the batch. From there on it computes one segment per task: a row that
two tasks read is there twice. A layer processes all segments as one batch, or each segment separately.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nlpmtl.data import to_device
from nlpmtl.errors import ModelError
from nlpmtl.kernels.packed_attention import SequenceLayout
from nlpmtl.kernels.packing import PackedBatch, TaskTokens, encode_packed, is_packing, is_range, on_cpu, pack

T = TypeVar("T")
_PER_ROW = ("attention_mask", "position_embeddings", "position_ids")
"""Keyword arguments of a layer with one entry per row of the batch."""


@dataclass(frozen=True)
class TaskSegment:
    """The rows of one task.

    Args:
        task: name of the task.
        span: position of the segment among all segments, in rows; in tokens if rows are packed.
        layout: lengths of the segment's rows; only if rows are packed.
        tokens: tokens of the segment in the packed batch; only if rows are packed.
    """

    task: str
    span: slice
    layout: SequenceLayout | None = None
    tokens: TaskTokens | None = None


@dataclass(frozen=True)
class TaskSegments:
    """The segments of a batch.

    Args:
        segments: segments of the tasks that have rows, in order.
        index: row of the batch (token, if rows are packed) for each row of the segments; None if the only segment is
            the batch itself.
        size: number of rows in the batch, or of tokens if rows are packed.
        mask: attention mask of the batch, ``[rows, sequence_length]``.
        packed: positions of the packed tokens; None if rows are padded.
        layout: lengths of the rows of all segments; only if rows are packed.
    """

    segments: Sequence[TaskSegment]
    index: Tensor | None
    size: int
    mask: Tensor
    packed: PackedBatch | None = None
    layout: SequenceLayout | None = None
    _expanded: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    @property
    def dim(self) -> int:
        """Dimension of hidden states along which segments are concatenated."""
        return 0 if self.packed is None else 1

    def expand(self, x: Tensor) -> Tensor:
        """Repeat what belongs to the rows of the batch for the rows of the segments."""
        return x if self.index is None else x.index_select(self.dim, self.index)

    def part(self, x: Tensor, segment: TaskSegment) -> Tensor:
        """Return the part of one segment."""
        return x[segment.span] if self.dim == 0 else x[:, segment.span]

    def mask_of(self, segment: TaskSegment) -> Tensor:
        """Return the attention mask of a segment, ``[rows, sequence_length]``; only if rows are padded."""
        return self.part(self._expand_once(self.mask), segment)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Concatenate the parts of all segments."""
        return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=self.dim)

    def arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, segment: TaskSegment | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Convert further arguments of a layer from the rows of the batch to those of one segment, or of all."""
        converted = {key: self._convert(value, segment) if key in _PER_ROW else value for key, value in kwargs.items()}
        if self.packed is not None:
            converted["layout"] = self.layout if segment is None else segment.layout
        return tuple(self._convert(value, segment) for value in args), converted

    def _convert(self, value: Any, segment: TaskSegment | None) -> Any:
        if isinstance(value, tuple):
            return tuple(self._convert(member, segment) for member in value)
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise ModelError(
                f"this attention implementation uses masks of the type {type(value).__name__}, which have no rows: "
                'write encoder.attn_implementation = "sdpa"'
            )
        if value.dim() <= self.dim or value.shape[self.dim] != self.size:  # the same for all rows
            return value
        expanded = self._expand_once(value)
        return expanded if segment is None else self.part(expanded, segment)

    def _expand_once(self, x: Tensor) -> Tensor:
        """Call `expand` once for all layers; for each of them if it has a gradient, which checkpointing recomputes."""
        if self.index is None or x.requires_grad:
            return self.expand(x)
        if id(x) not in self._expanded:
            self._expanded[id(x)] = x, self.expand(x)
        return self._expanded[id(x)][1]


class PassState(Generic[T]):
    """Value of the current pass of an encoder; thread-local, so that threads can share a model.

    With gradient checkpointing, the backward pass may recompute activations in a thread of autograd, which has no
    value: it reads the value that was last set with gradients enabled. A copied or pickled state is empty.
    """

    def __init__(self) -> None:
        self._local = threading.local()
        self._last: T | None = None

    def set(self, value: T) -> None:
        """Set the value of this thread."""
        self._local.value = value
        self._last = value if torch.is_grad_enabled() else None

    def get(self) -> T | None:
        """Return the value of this thread, or else the last one that was set in training."""
        value: T | None = getattr(self._local, "value", None)
        return self._last if value is None else value

    def clear(self) -> None:
        """Remove the value."""
        self._local.value = self._last = None

    def __reduce__(self) -> tuple[type[PassState[T]], tuple[()]]:
        return type(self), ()


class RoutingContext:
    """Segments of the current batch, for the layers inside an encoder.

    They are set before a pass and kept until the next one, because gradient checkpointing reads them again.
    """

    def __init__(self) -> None:
        self._now = PassState[TaskSegments]()

    @property
    def now(self) -> TaskSegments:
        """Segments of the current pass."""
        now = self._now.get()
        assert now is not None, "the encoder was called without its sharing scheme"
        return now

    def encode(
        self, encoder: PreTrainedModel, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Run an encoder whose layers have this routing context.

        Args:
            encoder: the encoder.
            inputs: arguments of the encoder, each ``[rows, sequence_length]``.
            rows: indices of the rows of each task, ``[task rows]``.

        Returns:
            Hidden states of each task, ``[task rows, sequence_length, width]``.
        """
        mask = inputs["attention_mask"]
        if all(indices.shape[0] == 0 for indices in rows.values()):
            empty = torch.empty(0, mask.shape[1], encoder.config.hidden_size, dtype=encoder.dtype, device=mask.device)
            return dict.fromkeys(rows, empty)
        packed = pack(mask) if is_packing(encoder) else None
        segments = _padded_segments(mask, rows) if packed is None else _packed_segments(mask, rows, packed)
        self._now.set(segments)
        try:
            hidden = encoder(**inputs).last_hidden_state if packed is None else encode_packed(encoder, inputs, packed)
        finally:
            if not torch.is_grad_enabled():  # nothing will be recomputed
                self._now.clear()
        return _split_by_task(segments, hidden, rows)


def _padded_segments(mask: Tensor, rows: Mapping[str, Tensor]) -> TaskSegments:
    segments, start = [], 0
    nonempty = {task: indices for task, indices in rows.items() if indices.shape[0] > 0}
    for task, indices in nonempty.items():
        segments.append(TaskSegment(task, slice(start, start + indices.shape[0])))
        start += indices.shape[0]
    parts = list(nonempty.values())
    is_batch = len(parts) == 1 and is_range(parts[0], mask.shape[0])
    index = None if is_batch else torch.cat(parts)
    return TaskSegments(segments, index, size=mask.shape[0], mask=mask)


def _packed_segments(mask: Tensor, rows: Mapping[str, Tensor], packed: PackedBatch) -> TaskSegments:
    """Return segments of packed rows; within each segment the longest row comes first."""
    segments, token_indices, runs, start = [], [], [], 0
    for task, indices in on_cpu(rows).items():
        if indices.shape[0] == 0:
            continue
        tokens = packed.select(indices)
        span, run = slice(start, start + tokens.token_index.shape[0]), tokens.lengths.tolist()
        layout = SequenceLayout([run], device=mask.device)
        segments.append(TaskSegment(task, span, layout=layout, tokens=tokens))
        token_indices.append(tokens.token_index)
        runs.append(run)
        start = span.stop
    size = packed.token_index.shape[0]
    is_batch = len(segments) == 1 and is_range(token_indices[0], size)
    index = None if is_batch else torch.cat(token_indices).to(mask.device, non_blocking=True)
    layout = SequenceLayout(runs, device=mask.device)
    return TaskSegments(segments, index, size=size, mask=mask, packed=packed, layout=layout)


def _split_by_task(segments: TaskSegments, hidden: Tensor, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split hidden states of all segments into those of each task, ``[task rows, sequence_length, width]``."""
    by_task = {segment.task: hidden[segment.span] for segment in segments.segments}
    tokens = {segment.task: segment.tokens for segment in segments.segments if segment.tokens is not None}
    all_slots = to_device([selected.slots for selected in tokens.values()], hidden.device)
    for (task, selected), slots in zip(tokens.items(), all_slots, strict=True):
        by_task[task] = selected.unpack(by_task[task], slots=slots)
    empty = hidden.new_zeros(0, segments.mask.shape[1], hidden.shape[-1])
    return {task: by_task.get(task, empty) for task in rows}

"""Streams: the rows of each task one after the other, so that one pass of an encoder serves all tasks.

Up to some layer an encoder computes the rows of a batch. From there on it computes one stream for each task: a row that
two tasks ask about is there twice. A layer then treats the streams as one batch, or each by itself.
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
from nlpmtl.kernels.packing import PackedBatch, TaskTokens, encode_packed, is_packing, on_cpu, pack

T = TypeVar("T")
_OF_ROWS = ("attention_mask", "position_embeddings", "position_ids")
"""Those of a layer's named arguments that have a row for each row of the batch."""


@dataclass(frozen=True)
class Stream:
    """The rows of one task.

    Args:
        task: its name.
        span: where they are among all streams: rows, or tokens where rows are packed.
        layout: packed: its rows, as if the stream were alone.
        share: packed: where its tokens belong.
    """

    task: str
    span: slice
    layout: SequenceLayout | None = None
    share: TaskTokens | None = None


@dataclass(frozen=True)
class TaskSegments:
    """The streams of a batch.

    Args:
        streams: of the tasks that have rows, task after task.
        index: for each row of the streams (each token where rows are packed) the one of the batch that it is; None
            where the streams are the batch.
        size: rows of the batch, or tokens where rows are packed.
        mask: 1 on tokens, 0 on padding, ``[rows, time]``; of the batch, not of the streams.
        packed: how the batch is packed; None where it is padded.
        layout: packed: the rows of all streams.
    """

    streams: Sequence[Stream]
    index: Tensor | None
    size: int
    mask: Tensor
    packed: PackedBatch | None = None
    layout: SequenceLayout | None = None
    _kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    @property
    def dim(self) -> int:
        """The dimension of a hidden state along which streams follow each other."""
        return 0 if self.packed is None else 1

    def expand(self, x: Tensor) -> Tensor:
        """From the rows of the batch to those of the streams."""
        return x if self.index is None else x.index_select(self.dim, self.index)

    def part(self, x: Tensor, stream: Stream) -> Tensor:
        """One stream's share of what all have."""
        return x[stream.span] if self.dim == 0 else x[:, stream.span]

    def mask_of(self, stream: Stream) -> Tensor:
        """1 on a stream's tokens, 0 on padding, ``[rows, time]``; where rows are not packed."""
        return self.part(self._expand_once(self.mask), stream)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """All streams again, of what `part` took apart."""
        return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=self.dim)

    def arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, stream: Stream | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A layer's further arguments, made for the batch, for the rows of all streams or of one."""
        fitted = {key: self._fit(value, stream) if key in _OF_ROWS else value for key, value in kwargs.items()}
        if self.packed is not None:
            fitted["layout"] = self.layout if stream is None else stream.layout
        return tuple(self._fit(value, stream) for value in args), fitted

    def _fit(self, value: Any, stream: Stream | None) -> Any:
        if isinstance(value, tuple):
            return tuple(self._fit(one, stream) for one in value)
        if value is None:
            return None
        if not isinstance(value, Tensor):
            raise ModelError(
                f"this attention takes masks of its own, {type(value).__name__}, which are not of rows: set "
                'encoder.attn_implementation = "sdpa"'
            )
        if value.dim() <= self.dim or value.shape[self.dim] != self.size:  # one for all rows
            return value
        expanded = self._expand_once(value)
        return expanded if stream is None else self.part(expanded, stream)

    def _expand_once(self, x: Tensor) -> Tensor:
        """`expand`, once for all layers; not where a layer's gradient may be computed anew, and with it this."""
        if self.index is None or x.requires_grad:
            return self.expand(x)
        if id(x) not in self._kept:
            self._kept[id(x)] = x, self.expand(x)
        return self._kept[id(x)][1]


class PassState(Generic[T]):
    """A value that belongs to one pass of an encoder; each thread has its own, so that threads may share a model.

    The backward pass may recompute activations in a thread of autograd's, which has no value: there it is the value
    that was set last with gradients enabled. A copy, and one that was pickled, starts empty.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        self._last: T | None = None

    def set(self, value: T) -> None:
        """Set the value of this thread."""
        self._own.value = value
        self._last = value if torch.is_grad_enabled() else None

    def get(self) -> T | None:
        """The value of this thread, or the last one of training."""
        own: T | None = getattr(self._own, "value", None)
        return self._last if own is None else own

    def clear(self) -> None:
        """Forget it."""
        self._own.value = self._last = None

    def __reduce__(self) -> tuple[type[PassState[T]], tuple[()]]:
        return type(self), ()


class RoutingContext:
    """What the layers inside an encoder know of the batch that it computes.

    It is set before a pass, and stays until the next: recomputing activations, a layer reads it again.
    """

    def __init__(self) -> None:
        self._now = PassState[TaskSegments]()

    @property
    def now(self) -> TaskSegments:
        """The streams of the pass."""
        now = self._now.get()
        assert now is not None, "the encoder runs by way of its sharing scheme"
        return now

    def encode(
        self, encoder: PreTrainedModel, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """One pass of an encoder that has layers with this route.

        Args:
            encoder: the encoder.
            inputs: its arguments, each ``[rows, time]``.
            rows: the rows of each stream, ``[part]``.

        Returns:
            For each stream its hidden states, ``[part, time, width]``.
        """
        mask = inputs["attention_mask"]
        if all(at.shape[0] == 0 for at in rows.values()):
            nothing = torch.empty(0, mask.shape[1], encoder.config.hidden_size, dtype=encoder.dtype, device=mask.device)
            return dict.fromkeys(rows, nothing)
        packed = pack(mask) if is_packing(encoder) else None
        streams = _padded_streams(mask, rows) if packed is None else _packed_streams(mask, rows, packed)
        self._now.set(streams)
        try:
            hidden = encoder(**inputs).last_hidden_state if packed is None else encode_packed(encoder, inputs, packed)
        finally:
            if not torch.is_grad_enabled():  # nothing will be computed again
                self._now.clear()
        return _hand_out(streams, hidden, rows)


def _padded_streams(mask: Tensor, rows: Mapping[str, Tensor]) -> TaskSegments:
    streams, start = [], 0
    asked = {task: at for task, at in rows.items() if at.shape[0] > 0}
    for task, at in asked.items():
        streams.append(Stream(task, slice(start, start + at.shape[0])))
        start += at.shape[0]
    parts = list(asked.values())
    # A part holds each row at most once and in order, so one as long as the batch is the batch.
    whole = len(parts) == 1 and parts[0].shape[0] == mask.shape[0]
    index = None if whole else torch.cat(parts)
    return TaskSegments(streams, index, size=mask.shape[0], mask=mask)


def _packed_streams(mask: Tensor, rows: Mapping[str, Tensor], packed: PackedBatch) -> TaskSegments:
    """Streams of packed rows: in each of them too the longest row comes first."""
    streams, indices, start = [], [], 0
    for task, at in on_cpu(rows).items():
        if at.shape[0] == 0:
            continue
        share = packed.share(at)
        span = slice(start, start + share.taken.shape[0])
        layout = SequenceLayout([share.lengths.tolist()], device=mask.device)
        streams.append(Stream(task, span, layout=layout, share=share))
        indices.append(share.taken)
        start = span.stop
    size = packed.taken.shape[0]
    whole = len(streams) == 1 and start == size
    index = None if whole else torch.cat(indices).to(mask.device, non_blocking=True)
    runs = [run for one in streams if one.layout is not None for run in one.layout.runs]
    return TaskSegments(
        streams, index, size=size, mask=mask, packed=packed, layout=SequenceLayout(runs, device=mask.device)
    )


def _hand_out(streams: TaskSegments, hidden: Tensor, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each task's hidden states, ``[part, time, width]``, from those of all streams."""
    found = {one.task: hidden[one.span] for one in streams.streams}
    shares = {one.task: one.share for one in streams.streams if one.share is not None}
    places = to_device([share.place for share in shares.values()], hidden.device)
    for (task, share), place in zip(shares.items(), places, strict=True):
        found[task] = share.unpack(found[task], place=place)
    nothing = hidden.new_zeros(0, streams.mask.shape[1], hidden.shape[-1])
    return {task: found.get(task, nothing) for task in rows}

"""Packed (variable-length) attention: the rows of a batch are concatenated, and each attends only to itself.

The other parts of a layer process a batch of packed rows as one long row. Attention is computed for rows of similar
length together or, with FlashAttention on a GPU that supports it, for all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from nlpmtl.data.batch import optimal_length_batches
from nlpmtl.kernels.fast_dropout import dropout_mask

PACKED = "packed"
"""Name of packed attention among transformers' values of `attn_implementation`."""
_OVERHEAD = 64
"""Fixed cost of a length bucket, in tokens."""
_FLASH = (torch.float16, torch.bfloat16)
"""Dtypes that FlashAttention supports."""
FLASH_MULTIPLE = 8
"""FlashAttention requires that the size of an attention head is a multiple of this."""


class LengthBucket(NamedTuple):
    """Consecutive packed rows of similar length, whose attention is computed together, padded to the longest.

    Args:
        rows: number of rows.
        length: number of tokens of the longest row.
        span: position of the rows' tokens among all tokens.
        token_index: token at each of the ``rows · length`` padded positions; None if all rows have the same length.
        token_slots: padded positions that hold a token, in order.
        padding: True at padded positions without a token, ``[rows, length]``.
    """

    rows: int
    length: int
    span: slice
    token_index: Tensor | None = None
    token_slots: Tensor | None = None
    padding: Tensor | None = None

    def pad(self, x: Tensor) -> Tensor:
        """Turn packed tokens, ``[n, tokens, heads, size]``, into padded rows, ``[n, rows · heads, length, size]``."""
        n, _, heads, size = x.shape
        tokens = x[:, self.span] if self.token_index is None else x.index_select(1, self.token_index)
        tokens = tokens.reshape(n, self.rows, self.length, heads, size).transpose(2, 3)
        return tokens.reshape(n, self.rows * heads, self.length, size)

    def unpad(self, x: Tensor, into: Tensor) -> None:
        """Write padded rows, shaped as `pad` returns them, to their position among the packed tokens `into`."""
        n, _, heads, size = into.shape
        tokens = x.view(n, self.rows, heads, self.length, size).transpose(2, 3)
        if self.token_slots is None:
            into[:, self.span].view(tokens.shape).copy_(tokens)
        else:
            into[:, self.span] = tokens.reshape(n, -1, heads, size).index_select(1, self.token_slots)


def bucket_by_length(lengths: Sequence[int], *, device: torch.device, start: int = 0) -> list[LengthBucket]:
    """Divide packed rows into buckets that minimise padding plus a fixed cost per bucket.

    Args:
        lengths: number of tokens of each row, in descending order.
        device: device of the tokens.
        start: number of packed tokens before the first row.
    """
    buckets = []
    for a, b in optimal_length_batches(lengths, overhead=_OVERHEAD):
        row_lengths = torch.tensor(lengths[a:b])
        rows, longest, tokens = b - a, lengths[a], int(row_lengths.sum())
        span = slice(start, start + tokens)
        if lengths[b - 1] == longest:
            buckets.append(LengthBucket(rows, longest, span))
        else:
            is_token = torch.arange(longest) < row_lengths[:, None]
            index = torch.full(is_token.shape, start)
            index[is_token] = torch.arange(start, start + tokens)
            slots = is_token.flatten().nonzero().squeeze(1)
            tensors = index.flatten().to(device), slots.to(device), ~is_token.to(device)
            buckets.append(LengthBucket(rows, longest, span, *tensors))
        start += tokens
    return buckets


class SequenceLayout:
    """Lengths of the rows of a packed batch.

    Args:
        runs: row lengths, in one run or several consecutive ones; descending within each run.
        device: device of the tokens.
    """

    def __init__(self, runs: Sequence[Sequence[int]], *, device: torch.device) -> None:
        self.runs, self._device = runs, device

    @cached_property
    def buckets(self) -> list[LengthBucket]:
        """Length buckets of all runs."""
        buckets, start = [], 0
        for run in self.runs:
            buckets += bucket_by_length(run, device=self._device, start=start)
            start += sum(run)
        return buckets

    @cached_property
    def bounds(self) -> Tensor:
        """Cumulative row lengths, from 0 to the number of tokens, ``[rows + 1]``."""
        lengths = torch.tensor([0, *(length for run in self.runs for length in run)])
        return lengths.cumsum(0).to(device=self._device, dtype=torch.int32)

    @property
    def longest(self) -> int:
        """Number of tokens of the longest row."""
        return max(run[0] for run in self.runs)


def _packed_attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: SequenceLayout | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention function of transformers' interface: ``[1, heads, tokens, size]`` to ``[1, tokens, heads, size]``."""
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return attend(q, k, v, layout, scale=scaling, dropout=dropout, window=sliding_window).unsqueeze(0), None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: SequenceLayout,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    window: int | None = None,
) -> Tensor:
    """Compute the attention of each row of a packed batch to itself.

    Args:
        query: ``[tokens, heads, size]``.
        key: ``[tokens, heads, size]``.
        value: ``[tokens, heads, size]``.
        layout: lengths of the rows.
        scale: factor of the attention scores; default: 1/√size.
        dropout: dropout probability of the attention weights.
        window: tokens at this distance or more do not attend to each other; default: no limit.

    Returns:
        ``[tokens, heads, size]``.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if query.is_cuda and query.dtype in _FLASH and query.shape[-1] % FLASH_MULTIPLE == 0:
        return _flash(query, key, value, layout, scale=scale, dropout=dropout, window=window)
    with torch.autocast(query.device.type, enabled=False):  # the inputs already have the right precision
        stacked = torch.stack([query, key, value])
        out: Tensor = _Attention.apply(stacked, layout.buckets, scale, dropout, window)  # type: ignore[no-untyped-call]
    return out


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: SequenceLayout,
    *,
    scale: float,
    dropout: float,
    window: int | None,
) -> Tensor:
    """Compute `attend` with FlashAttention-2 (Dao, 2023) for rows of different lengths.

    This is the operator below `torch.nn.attention.varlen`, which does not support dropout.

    Last run on 2026-11-27 (commit 809f76f, torch 2.11 on an H100); since then, only names have changed.
    """
    reach = None if window is None else window - 1
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, layout.bounds, layout.bounds, layout.longest, layout.longest, dropout, False, False,
        scale=scale, window_size_left=reach, window_size_right=reach,
    )[0]  # fmt: skip
    return out


class _Attention(torch.autograd.Function):
    """softmax(Q Kᵀ · scale) V for each row (Vaswani et al., 2017, equation 1), with a hand-written backward pass.

    Autograd would compute the gradient of slices as a sum of tensors that are zero outside a slice. Dropout is applied
    to the softmax.
    """

    @staticmethod
    def forward(
        ctx: Any, stacked: Tensor, buckets: Sequence[LengthBucket], scale: float, dropout: float, window: int | None
    ) -> Tensor:
        """Map queries, keys and values, ``[3, tokens, heads, size]``, to ``[tokens, heads, size]``."""
        heads = stacked.shape[2]
        out = stacked.new_empty((1, *stacked.shape[1:]))
        sizes = [heads * bucket.rows * bucket.length**2 for bucket in buckets]
        masks = dropout_mask(stacked.new_empty(sum(sizes)), dropout).split(sizes) if dropout > 0 else None
        saved = []
        for i, bucket in enumerate(buckets):
            q, k, v = bucket.pad(stacked)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            _mask_scores(scores, bucket, window)
            weights = torch.softmax(scores, dim=-1)
            dropped = weights if masks is None else weights * masks[i].view_as(weights)
            bucket.unpad(torch.bmm(dropped, v).unsqueeze(0), into=out)
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved, *(masks or ()))
        ctx.buckets, ctx.scale, ctx.shape = buckets, scale, stacked.shape
        return out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        out = grad.new_empty(ctx.shape)
        tensors = ctx.saved_tensors  # read once: with gradient checkpointing torch forbids a second access
        saved, masks = tensors[: 4 * len(ctx.buckets)], tensors[4 * len(ctx.buckets) :]
        for i, bucket in enumerate(ctx.buckets):
            q, k, v, weights = saved[4 * i : 4 * i + 4]
            (g,) = bucket.pad(grad.unsqueeze(0))
            if bucket.padding is not None:
                g.view(bucket.rows, -1, *g.shape[1:]).masked_fill_(bucket.padding[:, None, :, None], 0.0)
            d = g.new_empty((3, *g.shape))
            dw = torch.bmm(g, v.transpose(1, 2))
            dropped = weights
            if masks:
                dropped = weights * masks[i].view_as(weights)
                dw.mul_(masks[i].view_as(weights))
            ds = torch.ops.aten._softmax_backward_data(dw, weights, -1, weights.dtype).mul_(ctx.scale)
            torch.bmm(ds, k, out=d[0])
            torch.bmm(ds.transpose(1, 2), q, out=d[1])
            torch.bmm(dropped.transpose(1, 2), g, out=d[2])
            bucket.unpad(d, into=out)
        return out, None, None, None, None


def _mask_scores(scores: Tensor, bucket: LengthBucket, window: int | None) -> None:
    """Mask padding, and keys outside the window, in attention scores.

    The scores are ``[rows · heads, sequence_length, sequence_length]``. The mask value is finite: with −∞, a padded
    position whose keys are all masked would be NaN.
    """
    lowest = torch.finfo(scores.dtype).min
    if bucket.padding is not None:
        scores.view(bucket.rows, -1, *scores.shape[1:]).masked_fill_(bucket.padding[:, None, None, :], lowest)
    if window is not None and bucket.length > window:
        scores.masked_fill_(_outside_window(bucket.length, window, scores.device), lowest)


def _outside_window(length: int, window: int, device: torch.device) -> Tensor:
    """Return which pairs of positions are at least a window apart, ``[length, length]``."""
    positions = torch.arange(length, device=device)
    return (positions[:, None] - positions[None, :]).abs() >= window


AttentionInterface.register(PACKED, _packed_attention_forward)
AttentionMaskInterface.register(PACKED, sdpa_mask)

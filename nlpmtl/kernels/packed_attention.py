"""Attention among rows that stand end to end: none sees into the next, and none is padded far.

To all else that a layer computes a batch of such rows is one long row. Here rows of like length are computed at once,
or all rows by FlashAttention where a GPU has it.
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

from nlpmtl.data.batching import optimal_length_batches
from nlpmtl.kernels.fast_dropout import dropout_mask

PACKED = "packed"
"""The name of this attention among transformers' `attn_implementation`s."""
_OVERHEAD = 64
"""What a group costs beside its tokens, in tokens."""
_FLASH = (torch.float16, torch.bfloat16)
"""What FlashAttention computes in."""
FLASH_MULTIPLE = 8
"""Of what the size of its heads is a multiple."""


class Group(NamedTuple):
    """Rows that stand together, and whose attention is computed at once, as if all were as long as the longest.

    Args:
        rows: how many.
        length: tokens of the longest.
        span: where their tokens are among all.
        taken: for each of ``rows · length`` places the token that stands there; None where all are equally long.
        filled: the places where one does, in order.
        empty: the places where none does, ``[rows, length]``.
    """

    rows: int
    length: int
    span: slice
    taken: Tensor | None = None
    filled: Tensor | None = None
    empty: Tensor | None = None

    def spread(self, x: Tensor) -> Tensor:
        """``[many, tokens, heads, size]`` as ``[many, rows · heads, length, size]``."""
        many, _, heads, size = x.shape
        own = x[:, self.span] if self.taken is None else x.index_select(1, self.taken)
        own = own.reshape(many, self.rows, self.length, heads, size).transpose(2, 3)
        return own.reshape(many, self.rows * heads, self.length, size)

    def collect(self, x: Tensor, into: Tensor) -> None:
        """Write what `spread` gave, and has been computed with, to its place."""
        many, _, heads, size = into.shape
        own = x.view(many, self.rows, heads, self.length, size).transpose(2, 3)
        if self.filled is None:
            into[:, self.span].view(own.shape).copy_(own)
        else:
            into[:, self.span] = own.reshape(many, -1, heads, size).index_select(1, self.filled)


def group_rows(lengths: Sequence[int], *, device: torch.device, start: int = 0) -> list[Group]:
    """Rows that stand end to end, the longest first, in groups of like length; before them stand `start` tokens."""
    groups = []
    for a, b in optimal_length_batches(lengths, overhead=_OVERHEAD):
        own = torch.tensor(lengths[a:b])
        rows, longest, tokens = b - a, lengths[a], int(own.sum())
        span = slice(start, start + tokens)
        if lengths[b - 1] == longest:
            groups.append(Group(rows, longest, span))
        else:
            full = torch.arange(longest) < own[:, None]
            taken = torch.full(full.shape, start)
            taken[full] = torch.arange(start, start + tokens)
            filled = full.flatten().nonzero().squeeze(1)
            groups.append(Group(rows, longest, span, taken.flatten().to(device), filled.to(device), ~full.to(device)))
        start += tokens
    return groups


class SequenceLayout:
    """Which rows stand end to end.

    Args:
        runs: the lengths of the rows, in one run or in several one behind the other; in each the longest comes first.
        device: where their tokens are.
    """

    def __init__(self, runs: Sequence[Sequence[int]], *, device: torch.device) -> None:
        self.runs, self._device = runs, device

    @cached_property
    def groups(self) -> list[Group]:
        """The rows of each run in groups of like length."""
        groups, start = [], 0
        for run in self.runs:
            groups += group_rows(run, device=self._device, start=start)
            start += sum(run)
        return groups

    @cached_property
    def bounds(self) -> Tensor:
        """Where each row starts, and where the last one ends, ``[rows + 1]``."""
        lengths = torch.tensor([0, *(length for run in self.runs for length in run)])
        return lengths.cumsum(0).to(device=self._device, dtype=torch.int32)

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(run[0] for run in self.runs)


def _attend(
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
    """Transformers' attention interface: ``[1, heads, tokens, size]`` each, to ``[1, tokens, heads, size]``."""
    if layout is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
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
    """Attention of packed rows, each for itself.

    Args:
        query: ``[tokens, heads, size]``, as are …
        key: … the keys …
        value: … and the values.
        layout: the rows.
        scale: of the products; left out: 1/√size.
        dropout: the share of the weights that is dropped.
        window: tokens that are so far apart, or farther, do not see each other.

    Returns:
        ``[tokens, heads, size]``.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if query.is_cuda and query.dtype in _FLASH and query.shape[-1] % FLASH_MULTIPLE == 0:
        return _flash(query, key, value, layout, scale=scale, dropout=dropout, window=window)
    with torch.autocast(query.device.type, enabled=False):  # what comes in is in the precision that is asked for
        stacked = torch.stack([query, key, value])
        found: Tensor = _Attention.apply(stacked, layout.groups, scale, dropout, window)  # type: ignore[no-untyped-call]
    return found


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
    """The same by FlashAttention (Dao 2023, FlashAttention-2) for rows of different lengths.

    It is called below `torch.nn.attention.varlen`, which knows no dropout.
    """
    reach = None if window is None else window - 1
    found: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, layout.bounds, layout.bounds, layout.longest, layout.longest, dropout, False, False,
        scale=scale, window_size_left=reach, window_size_right=reach,
    )[0]  # fmt: skip
    return found


class _Attention(torch.autograd.Function):
    """softmax(Q Kᵀ · scale) V for each row by itself (Vaswani et al. 2017, equation 1), and its gradient by hand.

    By hand, because a gradient of slices is a sum of tensors that are zero but for a slice. Dropout is on the softmax.
    """

    @staticmethod
    def forward(
        ctx: Any, stacked: Tensor, groups: Sequence[Group], scale: float, dropout: float, window: int | None
    ) -> Tensor:
        """``[3, tokens, heads, size]`` to ``[tokens, heads, size]``."""
        heads = stacked.shape[2]
        out = stacked.new_empty((1, *stacked.shape[1:]))
        sizes = [heads * g.rows * g.length**2 for g in groups]
        kept = dropout_mask(stacked.new_empty(sum(sizes)), dropout).split(sizes) if dropout > 0 else None
        saved = []
        for i, group in enumerate(groups):
            q, k, v = group.spread(stacked)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
            _mask(scores, group, window)
            weights = torch.softmax(scores, dim=-1)
            dropped = weights if kept is None else weights * kept[i].view_as(weights)
            group.collect(torch.bmm(dropped, v).unsqueeze(0), into=out)
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved, *(kept or ()))
        ctx.groups, ctx.scale, ctx.shape = groups, scale, stacked.shape
        return out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        out = grad.new_empty(ctx.shape)
        tensors = ctx.saved_tensors  # to be read once: recomputing what was not kept, torch allows no second look
        saved, kept = tensors[: 4 * len(ctx.groups)], tensors[4 * len(ctx.groups) :]
        for i, group in enumerate(ctx.groups):
            q, k, v, weights = saved[4 * i : 4 * i + 4]
            (g,) = group.spread(grad.unsqueeze(0))
            if group.empty is not None:
                g.view(group.rows, -1, *g.shape[1:]).masked_fill_(group.empty[:, None, :, None], 0.0)
            d = g.new_empty((3, *g.shape))
            dw = torch.bmm(g, v.transpose(1, 2))
            dropped = weights
            if kept:
                dropped = weights * kept[i].view_as(weights)
                dw.mul_(kept[i].view_as(weights))
            ds = torch.ops.aten._softmax_backward_data(dw, weights, -1, weights.dtype).mul_(ctx.scale)
            torch.bmm(ds, k, out=d[0])
            torch.bmm(ds.transpose(1, 2), q, out=d[1])
            torch.bmm(dropped.transpose(1, 2), g, out=d[2])
            group.collect(d, into=out)
        return out, None, None, None, None


def _mask(scores: Tensor, group: Group, window: int | None) -> None:
    """Keep places without a token, and those beyond a window, from being looked at; ``[rows · heads, time, time]``.

    Not by −∞: a place without a token may have none to look at, and its answer, which nobody reads, stays a number.
    """
    least = torch.finfo(scores.dtype).min
    if group.empty is not None:
        scores.view(group.rows, -1, *scores.shape[1:]).masked_fill_(group.empty[:, None, None, :], least)
    if window is not None and group.length > window:
        scores.masked_fill_(_far(group.length, window, scores.device), least)


def _far(length: int, window: int, device: torch.device) -> Tensor:
    """Pairs of places as far apart as a window is wide, or farther, ``[length, length]``."""
    at = torch.arange(length, device=device)
    return (at[:, None] - at[None, :]).abs() >= window


AttentionInterface.register(PACKED, _attend)
AttentionMaskInterface.register(PACKED, sdpa_mask)

"""Span and relation head: Efficient GlobalPointer (Su et al., 2022).

    s_α(i, j) = (R_i q_i) · (R_j k_j) / √d + a_α,i + b_α,j
    [q_i, k_i] = W h_i        [a_i, b_i] = V [q_i, k_i]

Symbols:
- h_i: hidden state of token i; s_α(i, j): score of the span from token i to token j with label α
- q_i, k_i: query and key of a token, of size d = 64, shared by all labels
- R_i: rotation by the position i (RoPE, Su et al., 2021), so that the product depends on j − i
- a_α,i, b_α,j: scores of the label at the first and at the last token; biases are part of W and V

A relation ρ from a span (i, j) to a span (m, n) is scored with queries and keys of its own, of size 32 for each
relation, which are the sums of those at the first and the last token of a span:

    s_ρ = (R_i q_i + R_j q'_j) · (R_m k_m + R_n k'_n) / √32 + c_ρ(i, j) + d_ρ(m, n)

The head returns the terms of each token, from which the loss and the decoding compute the scores. Therefore its outputs
grow linearly with the number of tokens, not quadratically.

Departures from the paper: the last bias of each label starts at −4, so that few spans have positive scores at first.
Relations are not in the paper.

References:
    Su, Murtadha, Pan, Hou, Sun, Huang, Wen and Liu (2022), Global Pointer: Novel Efficient Span-based Approach for
        Named Entity Recognition, equation 11, https://arxiv.org/abs/2208.03054
    Su, Lu, Pan, Murtadha, Wen and Liu (2021), RoFormer: Enhanced Transformer with Rotary Position Embedding,
        equation 34, https://arxiv.org/abs/2104.09864

Example:
    >>> import torch
    >>> from nlpmtl.heads import HeadInputs, SpanHead
    >>> head = SpanHead(width=8, labels=3)
    >>> inputs = HeadInputs(torch.zeros(2, 5, 8), torch.ones(2, 5))
    >>> head(inputs)["spans"].shape  # query, key, first and last scores of each token
    torch.Size([2, 5, 134])
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nlpmtl.heads.head import HeadInputs, Outputs

_SPAN_SIZE = 64
"""Size d of the queries and keys of spans."""
_RELATION_SIZE = 32
"""Size of the queries and keys of each relation."""
_FIRST_BIAS = -4.0
_ROTARY_BASE = 10_000.0


class SpanHead(nn.Module):
    """Terms of the scores of spans, and of relations between them.

    Args:
        width: size of the hidden states.
        labels: number of labels of spans.
        relations: number of labels of relations.
        dropout: dropout probability of the hidden states.
    """

    def __init__(self, width: int, *, labels: int, relations: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.relations = relations
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, 2 * _SPAN_SIZE)
        self.label_scores = nn.Linear(2 * _SPAN_SIZE, 2 * labels)
        with torch.no_grad():
            self.label_scores.bias[labels:].fill_(_FIRST_BIAS)
        if relations:
            self.relation_dense = nn.Linear(width, 4 * relations * _RELATION_SIZE)
            self.relation_scores = nn.Linear(width, 4 * relations)

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return the terms of each token.

        "spans", ``[sequences, sequence_length, 2 · 64 + 2 · labels]``, has the rotated query, divided by √d, the
        rotated key, and the scores of the labels at a first and at a last token. "relations",
        ``[sequences, sequence_length, 4 · relations · 33]``, has the rotated queries of heads at first and last tokens
        and the keys of tails at first and last tokens, the queries divided by √32, then the scores of the relations at
        these four places.
        """
        hidden = self.dropout(inputs.hidden)
        x = self.dense(hidden)
        query, key = rotate(x.unflatten(-1, (2, _SPAN_SIZE))).unbind(dim=-2)
        spans = torch.cat([query * _SPAN_SIZE**-0.5, key, self.label_scores(x)], dim=-1)
        if not self.relations:
            return {"spans": spans}
        terms = rotate(self.relation_dense(hidden).unflatten(-1, (4 * self.relations, _RELATION_SIZE)))
        queries, keys = terms.chunk(2, dim=-2)
        parts = [queries.flatten(-2) * _RELATION_SIZE**-0.5, keys.flatten(-2), self.relation_scores(hidden)]
        return {"spans": spans, "relations": torch.cat(parts, dim=-1)}


def rotate(vectors: Tensor) -> Tensor:
    """Rotate vectors by their positions (RoPE), ``[sequences, sequence_length, …, size]`` with an even size.

    The product of two rotated vectors depends on the difference of their positions.
    """
    half = vectors.shape[-1] // 2
    rates = _ROTARY_BASE ** (-torch.arange(half, device=vectors.device) / half)
    angles = torch.arange(vectors.shape[1], device=vectors.device)[:, None] * rates
    angles = angles.view(-1, *[1] * (vectors.dim() - 3), half)
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

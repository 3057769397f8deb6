"""Attention pooling: a weighted mean over tokens, whose weights are learned (Yang et al., 2016).

    u_t = tanh(W h_t + b)        a_t = exp(u_t · q) / Σ_s exp(u_s · q)        h = Σ_t a_t h_t

Symbols:
- h_t: hidden state of token t; the sums run over the tokens of a text, without padding
- W, b, q: learned parameters; a_t: weight of token t; h: pooled hidden state

Departure from the paper: q starts at 0, so training starts with the mean over tokens.

References:
    Yang, Yang, Dyer, He, Smola and Hovy (2016), Hierarchical Attention Networks for Document Classification, NAACL,
        equations 5 to 7, https://aclanthology.org/N16-1174

Example:
    >>> import torch
    >>> from nlpmtl.heads import AttentionPooling
    >>> hidden, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> AttentionPooling(width=1)(hidden, mask).tolist()
    [[2.0]]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """Attention pooling.

    Args:
        width: size of the hidden states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the pooled hidden states, ``[sequences, width]``.

        Args:
            hidden: hidden states, ``[sequences, sequence_length, width]``.
            mask: True on tokens, False on padding, ``[sequences, sequence_length]``.
        """
        scores = (self.dense(hidden).tanh() * self.query).sum(dim=-1)
        weights: Tensor = scores.masked_fill(~mask, float("-inf")).softmax(dim=1).to(hidden.dtype)
        return (hidden * weights.unsqueeze(-1)).sum(dim=1)

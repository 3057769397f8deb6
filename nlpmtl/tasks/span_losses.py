"""ZLPR loss (Su et al., 2022) of spans and of relations between gold spans.

    L_α = log(1 + Σ_{n ∈ N} exp(s_α,n)) + log(1 + Σ_{p ∈ P} exp(−s_α,p))

Symbols:
- α: a label; s_α: its scores
- P, N: the spans of a row that have the label, and all others

It is small where all gold spans have scores above 0, and all others below 0, however few of the many spans are gold.
The same formula holds for a relation, where P and N are pairs of different gold spans of the row.

References:
    Su, Zhu, Murtadha, Pan, Wen and Liu (2022), ZLPR: A Novel Loss for Multi-label Classification, equation 8,
        https://arxiv.org/abs/2208.02955

Example:
    >>> import torch
    >>> from nlpmtl.tasks.span_losses import zlpr
    >>> scores, gold = torch.tensor([[[0.0, 0.0, 5.0]]]), torch.tensor([[[True, False, False]]])
    >>> allowed = torch.tensor([[[True, True, False]]])
    >>> zlpr(scores, allowed, gold).item() / torch.tensor(2.0).log().item()
    2.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpmtl.tasks.span_decoding import split_relation_terms, split_span_terms

if TYPE_CHECKING:
    from torch import Tensor


def zlpr(scores: Tensor, allowed: Tensor, gold: Tensor) -> Tensor:
    """Return the loss of each row, summed over labels, ``[rows]``.

    Args:
        scores: ``[rows, labels, items]``.
        allowed: whether each item is one, not padding, ``[rows, 1, items]`` or as `scores`.
        gold: whether an item has a label, ``[rows, labels, items]``.
    """
    import torch

    zero = scores.new_zeros(*scores.shape[:2], 1)
    negative = scores.masked_fill(~allowed | gold, -torch.inf)
    positive = (-scores).masked_fill(~gold, -torch.inf)
    losses = [torch.cat([part, zero], dim=-1).logsumexp(dim=-1) for part in (negative, positive)]
    return (losses[0] + losses[1]).sum(dim=1)


def span_loss(terms: Tensor, first: Tensor, last: Tensor, spans: Tensor, *, labels: int) -> Tensor:
    """Return the loss of the spans of each row, summed over labels, ``[rows]``.

    Args:
        terms: the output "spans" of `SpanHead`, ``[rows, sequence_length, …]``.
        first: the first token of each unit, negative for padding, ``[rows, units]``.
        last: its last token, ``[rows, units]``.
        spans: first unit, last unit and label of each gold span, negative for padding, ``[rows, spans, 3]``.
        labels: number of labels.
    """
    import torch

    query, _, at_first, _ = split_span_terms(_at(terms, first), labels)
    _, key, _, at_last = split_span_terms(_at(terms, last), labels)
    scores = (query @ key.mT).unsqueeze(1) + at_first.mT.unsqueeze(-1) + at_last.mT.unsqueeze(-2)
    real = first >= 0
    allowed = (real.unsqueeze(-1) & real.unsqueeze(-2)).triu().unsqueeze(1)
    row, place = (spans[..., 2] >= 0).nonzero(as_tuple=True)
    begin, end, label = spans[row, place].unbind(dim=-1)
    gold = torch.zeros_like(scores, dtype=torch.bool).index_put((row, label, begin, end), torch.ones_like(row).bool())
    return zlpr(scores.flatten(2), allowed.flatten(2), gold.flatten(2))


def relation_loss(terms: Tensor, places: tuple[Tensor, Tensor], relations: Tensor, *, labels: int) -> Tensor:
    """Return the loss of the relations between the gold spans of each row, summed over labels, ``[rows]``.

    Args:
        terms: the output "relations" of `SpanHead`, ``[rows, sequence_length, …]``.
        places: first and last token of each gold span, negative for padding, ``[rows, spans]`` each.
        relations: head, tail and label of each gold relation, negative for padding, ``[rows, relations, 3]``.
        labels: number of labels.
    """
    import torch

    vectors, scores_of = zip(*(split_relation_terms(_at(terms, place), labels) for place in places), strict=True)
    heads, tails = (vectors[0][i] + vectors[1][i + 1] for i in (0, 2))
    head_scores, tail_scores = (scores_of[0][i] + scores_of[1][i + 1] for i in (0, 2))
    scores = torch.einsum("nirs,njrs->nrij", heads, tails)
    scores = scores + head_scores.mT.unsqueeze(-1) + tail_scores.mT.unsqueeze(-2)
    real = places[0] >= 0
    different = ~torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    allowed = (real.unsqueeze(-1) & real.unsqueeze(-2) & different).unsqueeze(1)
    row, place = (relations[..., 2] >= 0).nonzero(as_tuple=True)
    head, tail, label = relations[row, place].unbind(dim=-1)
    gold = torch.zeros_like(scores, dtype=torch.bool).index_put((row, label, head, tail), torch.ones_like(row).bool())
    return zlpr(scores.flatten(2), allowed.flatten(2), gold.flatten(2))


def _at(terms: Tensor, places: Tensor) -> Tensor:
    """Return the terms at tokens, ``[rows, places, size]``; at padding those of the first token."""
    return terms.gather(1, places.clamp(min=0).unsqueeze(-1).expand(-1, -1, terms.shape[-1]))

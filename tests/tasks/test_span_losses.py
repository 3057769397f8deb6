"""Losses of spans and relations against sums over all spans and all pairs, written out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from nlpmtl.heads import HeadInputs, SpanHead
from nlpmtl.tasks.span_losses import relation_loss, span_loss, zlpr

FIRST, LAST = torch.tensor([[1, 2, 4, -100], [1, -100, -100, -100]]), torch.tensor([[1, 3, 4, -100], [2] + [-100] * 3])
SPANS = torch.tensor([[[0, 2, 1], [1, 1, 0], [0, 1, 1]], [[0, 0, 0], [-100] * 3, [-100] * 3]])
RELATIONS = torch.tensor([[[0, 1, 1], [2, 1, 0]], [[-100] * 3, [-100] * 3]])
LABELS, TYPES, TIME = 2, 2, 6


def outputs_of_head() -> tuple[SpanHead, dict[str, Tensor]]:
    torch.manual_seed(0)
    head = SpanHead(8, labels=LABELS, relations=TYPES).double()
    hidden = torch.randn(2, TIME, 8, dtype=torch.float64)
    return head, {name: values.detach() for name, values in head(HeadInputs(hidden, torch.ones(2, TIME))).items()}


def written_out(scores: Mapping[Any, Tensor], gold: Collection[Any]) -> Tensor:
    """Return the ZLPR of one row and one label, from the score of each item."""
    wrong = sum((score.exp() for item, score in scores.items() if item not in gold), torch.zeros(()).double())
    right = sum(((-scores[item]).exp() for item in gold), torch.zeros(()).double())
    return (1 + wrong).log() + (1 + right).log()


def span_score(terms: Tensor, begin: int, end: int, label: int) -> Tensor:
    """Return the score of a span from a token to a token, from the layout of the output that the head documents."""
    return terms[begin, :64] @ terms[end, 64:128] + terms[begin, 128 + label] + terms[end, 128 + LABELS + label]


def relation_score(terms: Tensor, head: tuple[int, int], tail: tuple[int, int], label: int) -> Tensor:
    vectors, scores = (
        terms[:, : 4 * TYPES * 32].view(TIME, 4, TYPES, 32),
        terms[:, 4 * TYPES * 32 :].view(TIME, 4, TYPES),
    )
    query = vectors[head[0], 0, label] + vectors[head[1], 1, label]
    key = vectors[tail[0], 2, label] + vectors[tail[1], 3, label]
    places = ((head[0], 0), (head[1], 1), (tail[0], 2), (tail[1], 3))
    return query @ key + sum(scores[token, i, label] for token, i in places)


def test_span_loss_and_its_gradient() -> None:
    terms = outputs_of_head()[1]["spans"].requires_grad_()
    losses = span_loss(terms, FIRST, LAST, SPANS, labels=LABELS)
    expected = []
    for row in range(2):
        units = [i for i in range(4) if FIRST[row, i] >= 0]
        gold = {tuple(span) for span in SPANS[row].tolist() if span[2] >= 0}
        total = torch.zeros(()).double()
        for label in range(LABELS):
            scores = {
                (i, j, label): span_score(terms[row], int(FIRST[row, i]), int(LAST[row, j]), label)
                for i, j in itertools.combinations_with_replacement(units, 2)
            }
            total = total + written_out(scores, {item for item in gold if item[2] == label})
        expected.append(total)
    assert losses.tolist() == pytest.approx([value.item() for value in expected], rel=1e-12)
    (gradient,) = torch.autograd.grad(losses.sum(), terms, retain_graph=True)
    (other,) = torch.autograd.grad(torch.stack(expected).sum(), terms)
    assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-12)
    assert gradient.abs().max() > 1e-3


def test_relation_loss_and_its_gradient() -> None:
    terms = outputs_of_head()[1]["relations"].requires_grad_()
    begin = FIRST.gather(1, SPANS[..., 0].clamp(min=0)).masked_fill(SPANS[..., 2] < 0, -1)
    end = LAST.gather(1, SPANS[..., 1].clamp(min=0)).masked_fill(SPANS[..., 2] < 0, -1)
    losses = relation_loss(terms, (begin, end), RELATIONS, labels=TYPES)
    expected = torch.zeros(()).double()
    places = [(int(FIRST[0, a]), int(LAST[0, b])) for a, b, _ in SPANS[0].tolist()]
    for label in range(TYPES):
        scores = {
            (i, j): relation_score(terms[0], places[i], places[j], label)
            for i, j in itertools.permutations(range(3), 2)
        }
        expected = expected + written_out(scores, {(i, j) for i, j, name in RELATIONS[0].tolist() if name == label})
    assert losses.tolist() == pytest.approx([expected.item(), 0.0], rel=1e-12), "one span has no pairs"
    (gradient,) = torch.autograd.grad(losses.sum(), terms, retain_graph=True)
    (other,) = torch.autograd.grad(expected, terms)
    assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-12)


def test_rows_without_spans() -> None:
    terms = outputs_of_head()[1]
    none = torch.zeros(2, 0, 3, dtype=torch.long)
    assert span_loss(terms["spans"], FIRST, LAST, none, labels=LABELS).min() > 0
    places = torch.zeros(2, 0, dtype=torch.long)
    assert relation_loss(terms["relations"], (places, places), none, labels=TYPES).tolist() == [0.0, 0.0]


def test_scores_above_and_below_0_have_a_small_loss() -> None:
    gold = torch.tensor([[[True] + [False] * 999]])
    scores = torch.full((1, 1, 1000), -20.0).index_fill(2, torch.tensor([0]), 20.0)
    allowed = torch.ones_like(gold)
    assert zlpr(scores, allowed, gold).item() < 1e-5
    assert zlpr(torch.zeros_like(scores), allowed, gold).item() == pytest.approx(math.log(1000) + math.log(2))
    huge = zlpr(scores * 1e4, allowed, ~gold)
    assert huge.isfinite().all()

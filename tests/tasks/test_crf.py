"""The CRF against sums over all sequences of tags."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from nlpmtl.heads import CrfHead, HeadInputs
from nlpmtl.tasks.crf import crf_decode, crf_loss, marginal_probabilities
from nlpmtl.tasks.viterbi import bio_predecessors, bio_transitions

TAGS, ROWS, TIME = 3, 4, 7
IGNORED = -100
WORDS = [[1, 2, 4, 6], [0, 3], [5], []]
"""Positions of the words of each row."""


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(ROWS, TIME, TAGS, dtype=torch.float64, generator=generator, requires_grad=True)
    matrix = torch.randn((TAGS + 1) ** 2, dtype=torch.float64, generator=generator, requires_grad=True)
    return logits, matrix


def targets(tags: list[list[int]]) -> Tensor:
    values = torch.full((ROWS, TIME), IGNORED)
    for row, (places, of_row) in enumerate(zip(WORDS, tags, strict=True)):
        values[row, places] = torch.tensor(of_row, dtype=torch.long)
    return values


def score(logits: Tensor, matrix: Tensor, words: list[int], path: tuple[int, ...]) -> Tensor:
    """Return the score of a sequence of tags, as the head documents the matrix."""
    table = matrix.view(TAGS + 1, TAGS + 1)
    total = table[TAGS, path[0]] + table[path[-1], TAGS]
    for word, tag in zip(words, path, strict=True):
        total = total + logits[word, tag]
    for before, after in itertools.pairwise(path):
        total = total + table[before, after]
    return total


def loss_by_enumeration(logits: Tensor, matrix: Tensor, words: list[int], tags: list[int]) -> Tensor:
    if not words:
        return torch.zeros((), dtype=torch.float64)
    paths = [*itertools.product(range(TAGS), repeat=len(words))]
    scores = torch.stack([score(logits, matrix, words, path) for path in paths])
    agrees = torch.tensor([all(tag in (-1, p) for p, tag in zip(path, tags, strict=True)) for path in paths])
    return scores.logsumexp(0) - scores[agrees].logsumexp(0)


FULL = [[0, 2, 1, 1], [2, 2], [1], []]
PARTIAL = [[-1, 2, -1, 0], [-1, -1], [1], []]


@pytest.mark.parametrize("tags", [FULL, PARTIAL], ids=["full", "partial"])
def test_loss_and_gradients(tags: list[list[int]]) -> None:
    logits, matrix = tensors()
    losses = crf_loss(logits, matrix.expand(ROWS, -1), targets(tags))
    expected = torch.stack([loss_by_enumeration(logits[row], matrix, WORDS[row], tags[row]) for row in range(ROWS)])
    assert torch.allclose(losses, expected, rtol=1e-12, atol=1e-12)
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    gradients = torch.autograd.grad((losses * weights).sum(), (logits, matrix), retain_graph=True)
    others = torch.autograd.grad((expected * weights).sum(), (logits, matrix))
    for gradient, other in zip(gradients, others, strict=True):
        assert torch.allclose(gradient, other, rtol=1e-9, atol=1e-12)
    assert losses[3] == 0
    assert losses[2] > 0


def test_a_row_without_known_tags_has_no_loss_and_no_gradient() -> None:
    logits, matrix = tensors()
    losses = crf_loss(logits, matrix.expand(ROWS, -1), targets([[-1] * 4, [-1, -1], [-1], []]))
    assert losses.abs().max() < 1e-12
    gradients = torch.autograd.grad(losses.sum(), (logits, matrix))
    assert all(gradient.isfinite().all() and gradient.abs().max() < 1e-12 for gradient in gradients)


def test_without_transitions_it_is_the_cross_entropy_of_each_word() -> None:
    logits, _ = tensors()
    tags = targets(FULL)
    losses = crf_loss(logits, torch.zeros(ROWS, (TAGS + 1) ** 2).double(), tags)
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tags, reduction="none").sum(dim=1)
    assert torch.allclose(losses, expected)
    marginals = marginal_probabilities(logits, torch.zeros(ROWS, (TAGS + 1) ** 2).double(), tags)
    assert torch.allclose(marginals, logits[tags != IGNORED].softmax(dim=-1))


def test_marginals_of_torch_and_numpy_and_the_best_sequence() -> None:
    logits, matrix = tensors()
    ends = np.cumsum([len(words) for words in WORDS])
    scores = torch.cat([logits[row, words] for row, words in enumerate(WORDS)]).detach().numpy()
    table = matrix.detach().view(TAGS + 1, TAGS + 1).numpy()
    tags, log_marginals = crf_decode(scores, table, ends)
    marginals = marginal_probabilities(logits, matrix.expand(ROWS, -1), targets(FULL))
    assert np.allclose(np.exp(log_marginals), marginals.numpy(), atol=1e-12)
    start = 0
    for row, words in enumerate(WORDS):
        if not words:
            continue
        paths = [*itertools.product(range(TAGS), repeat=len(words))]
        values = torch.stack([score(logits[row], matrix, words, path) for path in paths]).detach()
        assert tuple(tags[start : start + len(words)].tolist()) == paths[int(values.argmax())]
        weights = values.softmax(0)
        for place in range(len(words)):
            expected = [float(weights[[path[place] == tag for path in paths]].sum()) for tag in range(TAGS)]
            assert np.exp(log_marginals[start + place]).tolist() == pytest.approx(expected)
        start += len(words)


def test_excluded_transitions_and_tags() -> None:
    before = bio_predecessors(["O", "B-x", "I-x", "B-y", "I-y"], task="t")
    source = np.random.default_rng(0)
    scores = source.normal(size=(300, 5)) * 3
    scores[::7] = [0, -np.inf, -np.inf, -np.inf, -np.inf]
    ends = np.sort(source.choice(np.arange(1, 300), 60, replace=False))
    ends = np.append(ends, 300)
    tags, log_marginals = crf_decode(scores, bio_transitions(before) + source.normal(size=(6, 6)), ends)
    starts = {0, *ends.tolist()}
    for word, tag in enumerate(tags.tolist()):
        if tag in (2, 4):
            assert word not in starts
            assert tags[word - 1] in (tag, tag - 1)
    assert (tags[::7] == 0).all()
    assert np.allclose(np.exp(log_marginals).sum(axis=1), 1.0)
    assert (log_marginals[::7, 1:] < -1e3).all()


def test_many_rows_are_decoded_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(1)
    lengths = source.integers(0, 9, size=40)
    scores, ends = source.normal(size=(int(lengths.sum()), 4)), np.cumsum(lengths)
    matrix = source.normal(size=(5, 5))
    together = crf_decode(scores, matrix, ends)
    monkeypatch.setattr("nlpmtl.tasks.crf._MAX_SIZE", 60)  # batches of two rows
    for one, other in zip(together, crf_decode(scores, matrix, ends), strict=True):
        assert np.allclose(one, other)
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        tags, marginals = crf_decode(scores[start:end], matrix, np.array([end - start]))
        assert tags.tolist() == together[0][start:end].tolist()
        assert np.allclose(marginals, together[1][start:end])


def test_the_head_returns_the_matrix_for_each_sequence() -> None:
    class Scores(torch.nn.Linear):
        def forward(self, inputs: HeadInputs) -> Tensor:  # type: ignore[override]
            return super().forward(inputs.hidden)

    head = CrfHead(Scores(8, 3), tags=3)
    with torch.no_grad():
        head.transitions.copy_(torch.arange(16.0).view(4, 4))
    outputs = head(HeadInputs(torch.zeros(2, 4, 8), torch.ones(2, 4)))  # as many tokens as rows of the matrix
    assert outputs["logits"].shape == (2, 4, 3)
    assert outputs["transitions"].tolist() == [[*range(16)], [*range(16)]]

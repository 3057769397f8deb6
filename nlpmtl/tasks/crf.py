"""Linear-chain CRF over the tags of words: loss with and without missing tags, Viterbi decoding and marginals.

    p(y) = exp(s(y)) / Z        L = −log Σ_{y ∈ Y} p(y) = log Z − log Z_Y        Z_Y = Σ_{y ∈ Y} exp(s(y))

Symbols:
- s(y): score of a sequence of tags, see `nlpmtl.heads.crf`; Z: the sum over all sequences
- Y: the sequences that agree with the gold tags: the gold sequence itself, or, where tags are missing, all sequences
  with the tags that are known

Both sums are computed by the forward algorithm. Words without a token are excluded from the loss.

References:
    Lafferty, McCallum and Pereira (2001), Conditional Random Fields: Probabilistic Models for Segmenting and Labeling
        Sequence Data, ICML, section 3
    Tsuboi, Kashima, Mori, Oda and Matsumoto (2008), Training Conditional Random Fields Using Incomplete Annotations,
        COLING, equation 3, https://aclanthology.org/C08-1113 (missing tags)

Example:
    >>> import torch
    >>> from nlpmtl.tasks.crf import crf_loss
    >>> logits, transitions = torch.zeros(1, 3, 2), torch.zeros(1, 9)  # 4 sequences of 2 words are equally probable
    >>> round(crf_loss(logits, transitions, torch.tensor([[1, -100, 0]])).item() / torch.tensor(2.0).log().item(), 4)
    2.0
    >>> round(crf_loss(logits, transitions, torch.tensor([[1, -100, -1]])).item() / torch.tensor(2.0).log().item(), 4)
    1.0
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.floating]
_MAX_SIZE = 1 << 22
"""Maximum number of scores of transitions that are in memory for a word of several rows."""
_LOWEST = -1e4
"""Logarithm of the smallest marginal probability."""


def crf_loss(logits: Tensor, transitions: Tensor, tags: Tensor) -> Tensor:
    """Return the negative log-likelihood of the known tags of each row, ``[rows]``.

    Args:
        logits: scores of tags, ``[rows, sequence_length, tags]``.
        transitions: flattened matrix of transition scores of each row, ``[rows, (tags + 1)²]``, see `CrfHead`.
        tags: id of the tag at the first token of each word, ``[rows, sequence_length]``; −1: missing; −100 elsewhere.
    """
    import torch

    scores, mask, tags = words_of(logits, tags)
    known = (tags >= 0).unsqueeze(-1)
    other = torch.arange(logits.shape[-1], device=tags.device) != tags.unsqueeze(-1)
    constrained = scores.masked_fill(known & other, -torch.inf)
    both = log_partition(torch.cat([scores, constrained]), transitions.repeat(2, 1), mask.repeat(2, 1))
    free, agreeing = both.chunk(2)
    return free - agreeing


def marginal_probabilities(logits: Tensor, transitions: Tensor, tags: Tensor) -> Tensor:
    """Return the probability of each tag of each word, ``[words, tags]``: the derivatives of log Z by the scores.

    The words are those of all rows, in order; for the arguments, see `crf_loss`.
    """
    import torch

    scores, mask, _ = words_of(logits, tags)
    with torch.enable_grad():
        scores = scores.detach().requires_grad_()
        total = log_partition(scores, transitions.detach(), mask).sum()
        (marginals,) = torch.autograd.grad(total, scores)
    return marginals[mask]


def words_of(logits: Tensor, tags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scores of the words of each row, ``[rows, words, tags]``, whether they are words, and their tags.

    Tags of padding are −1.
    """
    import torch

    is_word = tags != IGNORED
    count = max(1, int(is_word.sum(dim=1).max())) if len(tags) else 1
    place = (~is_word).to(torch.int8).argsort(dim=1, stable=True)[:, :count]
    mask = is_word.gather(1, place)
    scores = logits.gather(1, place.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))
    return scores, mask, tags.gather(1, place).masked_fill(~mask, -1)


def log_partition(scores: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
    """Return log Z of each row by the forward algorithm, ``[rows]``.

    Args:
        scores: scores of the tags of words, ``[rows, words, tags]``; −inf excludes a tag.
        transitions: see `crf_loss`.
        mask: whether each word is one, not padding, ``[rows, words]``; words are at the beginning.
    """
    import torch

    tags = scores.shape[-1]
    matrix = transitions.unflatten(-1, (tags + 1, tags + 1)).to(scores.dtype)
    first, last, between = matrix[:, -1, :-1], matrix[:, :-1, -1], matrix[:, :-1, :-1]
    alpha = first + scores[:, 0]
    for word in range(1, scores.shape[1]):
        extended = (alpha.unsqueeze(-1) + between).logsumexp(dim=1) + scores[:, word]
        alpha = torch.where(mask[:, word, None], extended, alpha)
    total: Tensor = (alpha + last).logsumexp(dim=-1)
    return total


def crf_decode(
    scores: FloatArray, transitions: FloatArray, ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the most probable tags of each row, and the logarithms of the marginal probabilities of all tags.

    Viterbi and forward-backward, each for many rows at once.

    Args:
        scores: scores of the tags of the words of all rows, ``[words, tags]``; −inf excludes a tag.
        transitions: ``[tags + 1, tags + 1]``, see `CrfHead`; −inf excludes a transition.
        ends: index after the last word of each row, ``[rows]``.

    Returns:
        Ids of the tags, ``[words]``, and log-probabilities, ``[words, tags]``.
    """
    tags, marginals = np.zeros(len(scores), dtype=np.int64), np.zeros(scores.shape)
    transitions = transitions.astype(np.float64)
    for words, real in _padded_rows(ends, size=transitions.size):
        padded = scores[words].astype(np.float64)
        tags[words[real]] = _viterbi(padded, transitions, real)[real]
        marginals[words[real]] = _log_marginals(padded, transitions, real)[real]
    return tags, marginals.clip(min=_LOWEST)


def _padded_rows(ends: NDArray[np.int64], *, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield the indices of the words of rows of similar length, and whether they are real, ``[rows, most words]``."""
    starts = np.append(0, ends[:-1])
    order = np.argsort(ends - starts, kind="stable")
    order = order[(ends - starts)[order] > 0]
    step = max(1, _MAX_SIZE // size)
    for rows in (order[i : i + step] for i in range(0, len(order), step)):
        place = np.arange((ends - starts)[rows[-1]])
        words = starts[rows, None] + place
        real = words < ends[rows, None]
        yield np.where(real, words, starts[rows, None]), real


def _viterbi(scores: FloatArray, transitions: FloatArray, real: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the tags with the highest sum of scores, ``[rows, words]`` (Viterbi, 1967)."""
    rows, words, tags = scores.shape
    previous = np.zeros((rows, words, tags), dtype=np.int64)
    best = transitions[-1, :-1] + scores[:, 0]
    for word in range(1, words):
        extended = best[:, :, None] + transitions[:-1, :-1]
        active = real[:, word, None]
        previous[:, word] = np.where(active, extended.argmax(axis=1), np.arange(tags))
        best = np.where(active, extended.max(axis=1) + scores[:, word], best)
    path = np.zeros((rows, words), dtype=np.int64)
    path[:, -1] = (best + transitions[:-1, -1]).argmax(axis=1)
    for word in range(words - 1, 0, -1):
        path[:, word - 1] = previous[np.arange(rows), word, path[:, word]]
    return path


def _log_marginals(scores: FloatArray, transitions: FloatArray, real: NDArray[np.bool_]) -> FloatArray:
    """Return the logarithm of the probability of each tag, ``[rows, words, tags]``, by forward-backward."""
    from scipy.special import log_softmax, logsumexp

    between, last = transitions[:-1, :-1], transitions[:-1, -1]
    alpha, beta = np.zeros(scores.shape), np.zeros(scores.shape)
    alpha[:, 0] = transitions[-1, :-1] + scores[:, 0]
    for word in range(1, scores.shape[1]):
        alpha[:, word] = logsumexp(alpha[:, word - 1, :, None] + between, axis=1) + scores[:, word]
    beta[:, -1] = last
    for word in range(scores.shape[1] - 2, -1, -1):
        following = logsumexp(between + (scores[:, word + 1] + beta[:, word + 1])[:, None, :], axis=2)
        beta[:, word] = np.where(real[:, word + 1, None], following, last)
    values: FloatArray = log_softmax(alpha + beta, axis=-1)
    return values

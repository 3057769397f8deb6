"""Viterbi decoding of BIO tags: the best sequence in which I-x follows only B-x or I-x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.errors import ConfigError

Scores = NDArray[np.floating]
_NO_TAG = -1
_HUGE = 1e300
"""Finite stand-in for infinity: sums over words stay finite."""


def bio_predecessors(labels: Sequence[str], *, task: str) -> NDArray[np.int64]:
    """For each tag I-x the index of its B-x, for all others −1, ``[labels]``.

    Raises:
        ConfigError: a tag is not O, B-… or I-…, an I-x has no B-x, or there is no O.
    """
    before, places = np.full(len(labels), -1), {label: i for i, label in enumerate(labels)}
    for i, label in enumerate(labels):
        if label != "O" and not (label[:2] in ("B-", "I-") and label[2:]):
            raise ConfigError(
                f"task {task!r}: {label!r} is no BIO tag (O, B-… or I-…); for tags such as E-… and S-…: "
                'scheme = "bioes"; for others: scheme = "plain"'
            )
        if label.startswith("I-"):
            if f"B-{label[2:]}" not in places:
                raise ConfigError(
                    f"task {task!r}: {label!r} has no 'B-{label[2:]}': every span must begin with a B- tag"
                )
            before[i] = places[f"B-{label[2:]}"]
    if "O" not in places:
        raise ConfigError(f"task {task!r}: the scheme \"bio\" needs the tag 'O'; found {list(labels)[:10]}")
    return before


def viterbi_decode_batch(scores: Scores, before: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The best valid sequence of tags of each row, `viterbi_decode_bio` of it.

    Where the best tags of all words are a valid sequence there is none better, and nothing to search for.

    Args:
        scores: of the words of all rows, ``[words, labels]``, as `viterbi_decode_bio` takes them.
        before: of each label, as `bio_predecessors` gives it.
        ends: where each row ends, ``[rows]``.
    """
    scores = _finite(scores)
    tags: NDArray[np.int64] = scores.argmax(axis=-1)
    starts = np.concatenate([[0], ends[:-1]])
    last = np.roll(tags, 1)
    last[starts[starts < len(tags)]] = _NO_TAG
    begun = before[tags]
    broken = np.flatnonzero((begun >= 0) & (last != begun) & (last != tags))
    for row in np.unique(np.searchsorted(ends, broken, side="right")):
        words = slice(starts[row], ends[row])
        tags[words] = viterbi_decode_bio(scores[words], before)
    return tags


def viterbi_decode_bio(scores: Scores, before: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sequence of tags with the highest sum of scores in which I-x follows only B-x or I-x (Viterbi).

    Args:
        scores: ``[words, labels]``; −inf rules a tag out, unless nothing valid is left.
        before: of each label, as `bio_predecessors` gives it.
    """
    scores = _finite(scores)
    inside = np.flatnonzero(before >= 0)
    best = np.empty((len(scores), len(before)))
    came = np.zeros((len(scores), len(before)), dtype=np.int64)
    for word, emitted in enumerate(scores):
        if word == 0:
            best[0] = emitted
            best[0, inside] = -np.inf
            continue
        last = best[word - 1]
        came[word] = last.argmax()
        begun = last[before[inside]] >= last[inside]
        came[word, inside] = np.where(begun, before[inside], inside)
        best[word] = emitted + last[came[word]]
    tags = np.zeros(len(scores), dtype=np.int64)
    for word in range(len(scores) - 1, -1, -1):
        tags[word] = best[word].argmax() if word == len(scores) - 1 else came[word + 1, tags[word + 1]]
    return tags


def _finite(scores: Scores) -> Scores:
    """Infinities have no sums to compare: only what may never be, a span that begins with I-x, is kept at −inf."""
    finite: Scores = np.clip(np.nan_to_num(scores.astype(np.float64), nan=-np.inf), -_HUGE, _HUGE)
    return finite


def log_softmax(logits: Scores) -> Scores:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    values: Scores = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values

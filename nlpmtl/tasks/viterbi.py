"""Viterbi decoding of BIO tags: the best sequence in which I-x follows only B-x or I-x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.errors import ConfigError

FloatArray = NDArray[np.floating]
_NO_TAG = -1
_HUGE = 1e300
"""Finite stand-in for infinity: sums over words stay finite."""


def bio_predecessors(labels: Sequence[str], *, task: str) -> NDArray[np.int64]:
    """Return the index of B-x for each tag I-x, and −1 for all other tags, ``[labels]``.

    Raises:
        ConfigError: a tag is not O, B-… or I-…, an I-x has no B-x, or the tag O is missing.
    """
    before, places = np.full(len(labels), -1), {label: i for i, label in enumerate(labels)}
    for i, label in enumerate(labels):
        if label != "O" and not (label[:2] in ("B-", "I-") and label[2:]):
            raise ConfigError(
                f"task {task!r}: {label!r} is not a BIO tag (O, B-… or I-…); for tags such as E-… and S-…: "
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


def viterbi_decode_batch(scores: FloatArray, before: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the best valid tags of several rows, ``[words]``: `viterbi_decode_bio` of each row.

    It is only computed for rows whose best tag per word is not a valid sequence.

    Args:
        scores: scores of the words of all rows, ``[words, labels]``.
        before: the result of `bio_predecessors`, ``[labels]``.
        ends: index after the last word of each row, ``[rows]``.
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


def viterbi_decode_bio(scores: FloatArray, before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tags with the highest sum of scores in which I-x follows only B-x or I-x, ``[words]``.

    Viterbi (1967), Error bounds for convolutional codes and an asymptotically optimum decoding algorithm,
    https://doi.org/10.1109/TIT.1967.1054010

    Args:
        scores: score of each tag for each word, ``[words, labels]``; −inf excludes a tag, unless no valid sequence is
            left.
        before: the result of `bio_predecessors`, ``[labels]``.
    """
    scores = _finite(scores)
    inside = np.flatnonzero(before >= 0)
    best = np.empty((len(scores), len(before)))
    previous = np.zeros((len(scores), len(before)), dtype=np.int64)  # best tag of the word before
    for word, emitted in enumerate(scores):
        if word == 0:
            best[0] = emitted
            best[0, inside] = -np.inf
            continue
        last = best[word - 1]
        previous[word] = last.argmax()
        begun = last[before[inside]] >= last[inside]
        previous[word, inside] = np.where(begun, before[inside], inside)
        best[word] = emitted + last[previous[word]]
    tags = np.zeros(len(scores), dtype=np.int64)
    for word in range(len(scores) - 1, -1, -1):
        tags[word] = best[word].argmax() if word == len(scores) - 1 else previous[word + 1, tags[word + 1]]
    return tags


def bio_transitions(before: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 0 for each allowed transition and −inf for the others, ``[labels + 1, labels + 1]``.

    The last row is for the first tag, the last column for the last tag.

    Args:
        before: the result of `bio_predecessors`, ``[labels]``.

    >>> bio_transitions(np.array([-1, -1, 1]))[:, 2]  # I-x follows B-x and itself
    array([-inf,   0.,   0., -inf])
    """
    size = len(before)
    allowed = np.zeros((size + 1, size + 1))
    inside = np.flatnonzero(before >= 0)
    allowed[:, inside] = -np.inf
    allowed[before[inside], inside] = 0.0
    allowed[inside, inside] = 0.0
    return allowed


def _finite(scores: FloatArray) -> FloatArray:
    """Clip infinities, whose sums cannot be compared."""
    finite: FloatArray = np.clip(np.nan_to_num(scores.astype(np.float64), nan=-np.inf), -_HUGE, _HUGE)
    return finite


def log_softmax(logits: FloatArray) -> FloatArray:
    """Return log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    values: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return values

"""Recall at 10 of embeddings: fraction of texts with a correct one among the ten nearest.

    recall@10 = 1/N · Σ_i [y_i ∈ {y_j : j ∈ N₁₀(i)}]

Symbols:
- N: number of texts that have a correct one in the corpus
- N₁₀(i): the ten texts of the corpus with the highest cosine similarity to text i
- y: for pairs, the second text of the pair; for texts with a class, the class
- [·]: 1 if the condition holds, otherwise 0

The corpus of pairs has each second text of the split once. The corpus of texts with a class has all other texts of the
split, so a text whose class no other has is excluded. It is from 0 to 1, and undefined if no text has a correct one.

References:
    Musgrave, Belongie and Lim (2020), A Metric Learning Reality Check, section 3.1, https://arxiv.org/abs/2003.08505

Example:
    >>> from nlpmtl.metrics import RecallAt10
    >>> predictions = [[[1.0, 0.0], [0.9, 0.1]], [[0.0, 1.0], [0.1, 0.9]]]  # for each row the text and its pair
    >>> RecallAt10().value(predictions, ["a pair", "another"])
    1.0
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

_NEAREST = 10
_AT_ONCE = 1024
"""Texts whose similarities to the corpus are computed at once."""


def correct_ranks(predictions: Sequence[Sequence[Sequence[float]]], references: Sequence[str]) -> NDArray[np.int64]:
    """Return the rank of the nearest correct text, from 1, for each row that has one, ``[rows with a correct text]``.

    Other texts that are equally near are counted before it, so that equal embeddings of all texts have no good rank.

    Args:
        predictions: for each row the embedding of its text, and that of its pair if it has one.
        references: for each row the text of its pair, or its class.
    """
    queries = np.array([vectors[0] for vectors in predictions], dtype=np.float32)
    ids = {name: i for i, name in enumerate(dict.fromkeys(references))}
    keys = np.array([ids[name] for name in references])
    paired = len(predictions[0]) > 1
    if paired:
        first = np.unique(keys, return_index=True)[1]
        corpus, corpus_keys = np.array([predictions[i][1] for i in first], dtype=np.float32), keys[first]
    else:
        corpus, corpus_keys = queries, keys
    distinct, column = _distinct(corpus)
    ranks = []
    for start in range(0, len(queries), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(queries)))
        similarity = (queries[rows] @ distinct.T)[:, column]
        correct = corpus_keys == keys[rows, None]
        if not paired:
            similarity[np.arange(len(rows)), rows] = -np.inf
            correct[np.arange(len(rows)), rows] = False
        best = np.where(correct, similarity, -np.inf).max(axis=1)
        before = (similarity >= best[:, None]) & ~correct
        ranks.append(1 + before.sum(axis=1)[correct.any(axis=1)])
    return np.concatenate(ranks)


def _distinct(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distinct vectors, ``[distinct, width]``, and the index of each vector among them, ``[vectors]``.

    A product of matrices may round the products of equal vectors differently, so each vector is multiplied once.
    """
    places: dict[bytes, int] = {}
    index = np.array([places.setdefault(row.tobytes(), len(places)) for row in vectors + 0.0])  # −0 becomes 0
    return vectors[np.unique(index, return_index=True)[1]], index


@METRICS.register("recall_10")
class RecallAt10(Metric):
    """Recall at 10: fraction of texts with a correct one among the ten nearest of the split, from 0 to 1.

    The correct one is the second text of the pair, or any other text of the same class. Undefined: no text has a
    correct one.

    References:
        Musgrave, Belongie and Lim (2020), A Metric Learning Reality Check
    """

    other_names = "recall_at_10 recall@10 r@10 hits_10 accuracy_at_10"

    name = "recall_10"
    resampled = False
    reads = frozenset({"embedding"})

    def score(self, predictions: Sequence[Sequence[Sequence[float]]], references: Sequence[str]) -> float | None:
        ranks = correct_ranks(predictions, references)
        return float((ranks <= _NEAREST).mean()) if len(ranks) else None

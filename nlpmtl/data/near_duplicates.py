"""Near-duplicate rows: MinHash (Broder, 1997) with locality-sensitive hashing, in time linear in the rows.

    J(A, B) = |A ∩ B| / |A ∪ B|

Symbols:
- A, B: sets of the token trigrams of two rows
- J: their Jaccard similarity; rows are near-duplicates if it is at least 0.8

The signature of a row has 72 minima, of which 12 bands of 6 are compared: a pair with similarity s is found with
probability 1 − (1 − s⁶)¹², which is 0.97 at 0.8. The similarity of the pairs that are found is exact.

Departure from the paper: a row is compared only with the first row that shares a band with it, so that many similar
rows take linear time.

References:
    Broder (1997), On the resemblance and containment of documents, https://doi.org/10.1109/SEQUEN.1997.666900
    Leskovec, Rajaraman and Ullman (2020), Mining of Massive Datasets, section 3.4, http://www.mmds.org

Example:
    >>> import numpy as np
    >>> from nlpmtl.data import Ragged
    >>> tokens = np.array([*range(20), *range(21), 5, 6, 7])
    >>> near_duplicates(Ragged(tokens, np.array([0, 20, 41, 44]))).tolist()
    [[0, 1]]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.hashing import Hashes, mix
from nlpmtl.data.ragged import Ragged, row_bounds

SIMILARITY = 0.8
"""Minimum Jaccard similarity of near-duplicates."""
_AFTER_TOKENS = np.uint64(2**32)
"""A number that is not the id of a token."""
_BANDS, _ROWS_PER_BAND = 12, 6
_MARGIN = 0.15
"""Pairs whose estimated similarity is this much below `SIMILARITY` are not compared exactly."""


def near_duplicates(rows: Ragged, *, unknown: int | None = None) -> NDArray[np.int64]:
    """Return pairs of near-duplicate rows, ``[pairs, 2]``: a row, and an earlier one before it. A row is second once.

    Args:
        rows: the token ids of each row, at least one.
        unknown: the id of the unknown token, which differs from every other one: it stands for any word.
    """
    shingles = _trigrams(rows, unknown)
    signatures = _signatures(shingles)
    pairs = _candidates(signatures)
    estimates = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(axis=1)
    pairs = pairs[estimates >= SIMILARITY - _MARGIN]
    similar = np.array([_similarity(shingles, first, second) >= SIMILARITY for first, second in pairs.tolist()])
    pairs = pairs[similar.astype(np.bool_)]
    first: NDArray[np.int64] = pairs[np.unique(pairs[:, 1], return_index=True)[1]]
    return first


def _trigrams(rows: Ragged, unknown: int | None) -> Ragged:
    """Return the hashes of the trigrams of each row; a shorter row has one."""
    row, tokens = rows.indices_2d()[0], mix(rows.values.astype(np.uint64) + np.uint64(1))  # 0 is "no token"
    positions, ends = np.arange(len(tokens)), rows.bounds[1:].repeat(rows.lengths)
    if unknown is not None:
        tokens = np.where(rows.values == unknown, mix(positions.astype(np.uint64) + _AFTER_TOKENS), tokens)
    hashes = tokens
    for offset in (1, 2):
        inside = positions + offset < ends
        following = np.zeros_like(tokens)
        following[inside] = tokens[positions[inside] + offset]
        hashes = mix(hashes + following)
    kept = (positions + 2 < ends) | (positions == rows.bounds[:-1].repeat(rows.lengths))
    return Ragged(hashes[kept], row_bounds(np.bincount(row[kept], minlength=len(rows))))


def _signatures(shingles: Ragged) -> Hashes:
    """Return the MinHash signature of each row, ``[rows, 72]``."""
    factors = np.random.Generator(np.random.PCG64(0)).integers(
        2**63, size=(_BANDS * _ROWS_PER_BAND, 2), dtype=np.uint64
    )
    starts = shingles.bounds[:-1]
    minima = [np.minimum.reduceat((shingles.values ^ a) * (b | np.uint64(1)), starts) for a, b in factors]
    return np.stack(minima, axis=1)


def _candidates(signatures: Hashes) -> NDArray[np.int64]:
    """Return each row with the first row that shares a band with it, ``[pairs, 2]``, for all bands."""
    rows = np.arange(len(signatures))
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for band in np.split(signatures, _BANDS, axis=1):
        keys = np.zeros(len(rows), dtype=np.uint64)
        for column in band.T:
            keys = mix(keys + column)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        earliest = first[group]
        pairs.append(np.stack([earliest, rows], axis=1)[earliest < rows])
    return np.unique(np.concatenate(pairs), axis=0)


def _similarity(shingles: Ragged, first: int, second: int) -> float:
    left, right = (set(shingles[row].tolist()) for row in (first, second))
    return len(left & right) / len(left | right)

"""How rows sorted by length are cut into batches."""

from __future__ import annotations

from collections.abc import Sequence


def cheapest_cuts(lengths: Sequence[int], *, overhead: int, limit: int | None = None) -> list[tuple[int, int]]:
    """The consecutive batches whose padded wordpieces, and an overhead for each batch, are together least.

    Found by dynamic programming over the ends of batches.

    Args:
        lengths: of the rows, in wordpieces, ≥ 1, falling.
        overhead: what a batch costs beside its wordpieces, in wordpieces.
        limit: most padded wordpieces in a batch, None for any; a row that is longer alone is one by itself.

    Returns:
        Start and end (exclusive) of each batch.
    """
    cost = [0] + [-1] * len(lengths)
    start = [0] * (len(lengths) + 1)
    for a, longest in enumerate(lengths):
        most = len(lengths) - a if limit is None else max(1, limit // longest)
        for b in range(a + 1, min(len(lengths), a + most) + 1):
            price = cost[a] + overhead + (b - a) * longest
            if cost[b] < 0 or price < cost[b]:
                cost[b], start[b] = price, a
    cuts = []
    end = len(lengths)
    while end > 0:
        cuts.append((start[end], end))
        end = start[end]
    return cuts[::-1]


def fullest_cuts(lengths: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
    """Consecutive batches, each of as many rows as the limit on wordpieces, padding excluded, allows.

    Args:
        lengths: of the rows, in wordpieces, ≥ 1.
        limit: most wordpieces in a batch; a row that is longer alone is one by itself.

    Returns:
        Start and end (exclusive) of each batch.
    """
    cuts, start, full = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and full + length > limit:
            cuts.append((start, i))
            start, full = i, 0
        full += length
    return [*cuts, (start, len(lengths))] if lengths else []

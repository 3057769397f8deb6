"""Batching by length: split rows sorted by length into consecutive batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

_Row = TypeVar("_Row")


def optimal_length_batches(lengths: Sequence[int], *, overhead: int, limit: int | None = None) -> list[tuple[int, int]]:
    """Return the consecutive batches that minimise padded tokens plus an overhead per batch.

    Dynamic programming over the ends of batches, in linear time: for each start, the cost of a batch is linear in its
    end, with a smaller slope for later starts, so a later start is better from some end on. Among starts with equal
    cost, the first is chosen.

    Args:
        lengths: the lengths of the rows in tokens, ≥ 1, in descending order.
        overhead: the fixed cost of a batch, in tokens.
        limit: the maximum padded tokens of a batch; default: none. A longer row is a batch by itself.

    Returns:
        Start and end (exclusive) of each batch.
    """
    count = len(lengths)
    cost, start, last = [0] * (count + 1), [0] * (count + 1), [0] * count
    best: deque[tuple[int, int]] = deque()  # (start, the first end for which it is the best one)
    for end in range(1, count + 1):
        new = end - 1
        longest = lengths[new]
        last[new] = count if limit is None else new + max(1, limit // longest)
        while best and (ahead := _end_from_which(new, best[-1][0], cost, lengths, last)) <= max(best[-1][1], end):
            best.pop()
        if not best:
            best.append((new, end))
        elif ahead <= min(count, last[new]):
            best.append((new, ahead))
        while len(best) > 1 and best[1][1] <= end:
            best.popleft()
        start[end] = best[0][0]
        cost[end] = cost[start[end]] + overhead + (end - start[end]) * lengths[start[end]]
    batches = []
    end = len(lengths)
    while end > 0:
        batches.append((start[end], end))
        end = start[end]
    return batches[::-1]


def _end_from_which(new: int, old: int, cost: Sequence[int], lengths: Sequence[int], last: Sequence[int]) -> int:
    """Return the first end for which the new start is cheaper than the old one, or the old batch exceeds the limit."""
    steeper = lengths[old] - lengths[new]
    behind = (cost[new] - new * lengths[new]) - (cost[old] - old * lengths[old])
    if steeper > 0:
        return min(behind // steeper + 1, last[old] + 1)
    return 0 if behind < 0 else last[old] + 1


def greedy_length_batches(lengths: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
    """Return consecutive batches, each filled up to a limit on tokens without padding.

    Args:
        lengths: the lengths of the rows in tokens, ≥ 1.
        limit: the maximum number of tokens of a batch. A longer row is a batch by itself.

    Returns:
        Start and end (exclusive) of each batch.
    """
    batches, start, size = [], 0, 0
    for i, length in enumerate(lengths):
        if i > start and size + length > limit:
            batches.append((start, i))
            start, size = i, 0
        size += length
    return [*batches, (start, len(lengths))] if lengths else []


def split_into_microbatches(
    rows: Sequence[_Row], *, lengths: Sequence[int], world_size: int, limit: int, overhead: int | None
) -> list[list[list[_Row]]]:
    """Split the rows of a step over all ranks, and those of each rank into micro-batches of similar length.

    Sorted by length, the rows are dealt to the ranks in turn, so that all ranks have similar work.

    Args:
        rows: rows of the step.
        lengths: number of tokens of each row.
        world_size: number of ranks.
        limit: maximum number of tokens in a micro-batch, padding included; a longer row is a micro-batch by itself.
        overhead: cost of a micro-batch besides its tokens, in tokens. None if rows are not padded: then micro-batches
            are filled greedily.

    Returns:
        The micro-batches of each rank. Ranks may have different numbers of them, or none.
    """
    order = sorted(range(len(rows)), key=lambda index: -lengths[index])
    split = []
    for rank in range(world_size):
        indices = order[rank::world_size]
        sorted_lengths = [lengths[index] for index in indices]
        if overhead is None:
            batches = greedy_length_batches(sorted_lengths, limit=limit)
        else:
            batches = optimal_length_batches(sorted_lengths, overhead=overhead, limit=limit)
        split.append([[rows[index] for index in indices[start:end]] for start, end in batches])
    return split

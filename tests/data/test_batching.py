"""Division of rows into batches of similar length, compared with exhaustive search."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data.batch import greedy_length_batches, optimal_length_batches

LENGTHS = st.lists(st.integers(1, 30), max_size=7).map(lambda some: sorted(some, reverse=True))


def every_way(count: int) -> list[list[tuple[int, int]]]:
    inner = [ends for k in range(count) for ends in combinations(range(1, count), k)]
    return [list(zip((0, *ends), (*ends, count), strict=True)) for ends in inner]


@settings(max_examples=80)
@given(
    LENGTHS,
    st.integers(0, 40),
    st.none() | st.integers(1, 90),
    st.none() | st.lists(st.integers(1, 5), min_size=7, max_size=7),
)
def test_optimal_length_batches_are_optimal(
    lengths: list[int], overhead: int, limit: int | None, some_counts: list[int] | None
) -> None:
    counts = None if some_counts is None else some_counts[: len(lengths)]

    def padded(a: int, b: int) -> int:
        return (b - a if counts is None else sum(counts[a:b])) * lengths[a]

    def cost(cuts: list[tuple[int, int]]) -> int:
        return sum(overhead + padded(a, b) for a, b in cuts)

    def fits(cuts: list[tuple[int, int]]) -> bool:
        return limit is None or all(b - a == 1 or padded(a, b) <= limit for a, b in cuts)

    batches = optimal_length_batches(lengths, overhead=overhead, limit=limit, counts=counts)
    if not lengths:
        assert batches == []
        return
    partitions = every_way(len(lengths))
    assert batches in partitions
    assert fits(batches)
    assert cost(batches) == min(cost(cuts) for cuts in partitions if fits(cuts))


def plain(lengths: list[int], *, overhead: int, limit: int | None) -> list[tuple[int, int]]:
    """Try every start for every end; of equal costs, the first."""
    cost, start = [0], [0]
    for end in range(1, len(lengths) + 1):
        allowed = [a for a in range(end) if limit is None or end - a <= max(1, limit // lengths[a])]
        prices = [cost[a] + overhead + (end - a) * lengths[a] for a in allowed]
        cost.append(min(prices))
        start.append(allowed[prices.index(min(prices))])
    cuts, end = [], len(lengths)
    while end:
        cuts.append((start[end], end))
        end = start[end]
    return cuts[::-1]


@settings(max_examples=80)
@given(
    st.lists(st.integers(1, 500), max_size=40).map(lambda some: sorted(some, reverse=True)),
    st.sampled_from([0, 1, 7, 64, 4096]),
    st.none() | st.integers(1, 5000),
)
def test_optimal_length_batches_equal_a_brute_force_search(
    lengths: list[int], overhead: int, limit: int | None
) -> None:
    assert optimal_length_batches(lengths, overhead=overhead, limit=limit) == plain(
        lengths, overhead=overhead, limit=limit
    )


def test_length_batches_of_many_rows() -> None:
    """A search over all pairs would take hours."""
    lengths = sorted((1 + (i * 7919) % 512 for i in range(200_000)), reverse=True)
    for limit in (None, 10_000_000):
        cuts = optimal_length_batches(lengths, overhead=64, limit=limit)
        assert cuts[0][0] == 0
        assert cuts[-1][1] == len(lengths)


@given(LENGTHS, st.integers(1, 90))
def test_greedy_length_batches_have_the_minimum_count(lengths: list[int], limit: int) -> None:
    def fits(cuts: list[tuple[int, int]]) -> bool:
        return all(b - a == 1 or sum(lengths[a:b]) <= limit for a, b in cuts)

    batches = greedy_length_batches(lengths, limit=limit)
    if not lengths:
        assert batches == []
        return
    partitions = every_way(len(lengths))
    assert batches in partitions
    assert fits(batches)
    assert len(batches) == min(len(cuts) for cuts in partitions if fits(cuts))

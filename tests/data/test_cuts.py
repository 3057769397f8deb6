from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from nlpmtl.data.cuts import cheapest_cuts, fullest_cuts

LENGTHS = st.lists(st.integers(1, 30), max_size=7).map(lambda some: sorted(some, reverse=True))


def every_way(many: int) -> list[list[tuple[int, int]]]:
    inner = [ends for k in range(many) for ends in combinations(range(1, many), k)]
    return [list(zip((0, *ends), (*ends, many), strict=True)) for ends in inner]


@given(LENGTHS, st.integers(0, 40), st.none() | st.integers(1, 90))
def test_no_other_cuts_are_cheaper(lengths: list[int], overhead: int, limit: int | None) -> None:
    def cost(cuts: list[tuple[int, int]]) -> int:
        return sum(overhead + (b - a) * lengths[a] for a, b in cuts)

    def fits(cuts: list[tuple[int, int]]) -> bool:
        return limit is None or all(b - a == 1 or (b - a) * lengths[a] <= limit for a, b in cuts)

    found = cheapest_cuts(lengths, overhead=overhead, limit=limit)
    if not lengths:
        assert found == []
        return
    ways = every_way(len(lengths))
    assert found in ways
    assert fits(found)
    assert cost(found) == min(cost(cuts) for cuts in ways if fits(cuts))


@given(LENGTHS, st.integers(1, 90))
def test_the_fullest_batches_are_as_few_as_may_be(lengths: list[int], limit: int) -> None:
    def fits(cuts: list[tuple[int, int]]) -> bool:
        return all(b - a == 1 or sum(lengths[a:b]) <= limit for a, b in cuts)

    found = fullest_cuts(lengths, limit=limit)
    if not lengths:
        assert found == []
        return
    ways = every_way(len(lengths))
    assert found in ways
    assert fits(found)
    assert len(found) == min(len(cuts) for cuts in ways if fits(cuts))

"""Groups against all groups that there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlpmtl.affinity import grouping
from nlpmtl.affinity.grouping import Group, choose_groups, group_value
from nlpmtl.affinity.metrics import Floats

AFFINITIES = st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.integers(-8, 8).map(float)))


def brute(affinity: np.ndarray, encoders: int) -> float:
    """The network selection as the paper says it: each choice of groups, each task answered by the best for it."""
    tasks = range(len(affinity))
    groups = [group for size in range(1, len(affinity) + 1) for group in combinations(tasks, size)]
    best = -np.inf
    for many in range(1, min(encoders, len(affinity)) + 1):
        for chosen in combinations(groups, many):
            worth = [
                max((group_value(affinity, Group(g, (task,))) for g in chosen if task in g), default=-np.inf)
                for task in tasks
            ]
            best = max(best, sum(worth))
    return float(best)


@settings(deadline=None, max_examples=80)
@given(AFFINITIES, st.integers(1, 4))
def test_no_groups_are_worth_more(affinity: np.ndarray, encoders: int) -> None:
    found = choose_groups(affinity, encoders=encoders)
    assert found.exact
    assert found.worth == pytest.approx(brute(affinity, encoders), abs=1e-9)
    check(found.groups, affinity=affinity, encoders=encoders, worth=found.worth)


def check(groups: tuple[Group, ...], *, affinity: np.ndarray, encoders: int, worth: float) -> None:
    assert 1 <= len(groups) <= encoders
    assert sorted(task for group in groups for task in group.serves) == list(range(len(affinity)))
    assert all(set(group.serves) <= set(group.tasks) for group in groups)
    assert sum(group_value(affinity, group) for group in groups) == pytest.approx(worth, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(AFFINITIES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_of_the_tasks_changes_nothing(affinity: np.ndarray, encoders: int, source: object) -> None:
    order = np.random.default_rng(source.randrange(2**32)).permutation(len(affinity))  # type: ignore[attr-defined]
    one, other = (choose_groups(a, encoders=encoders) for a in (affinity, affinity[np.ix_(order, order)]))
    assert one.worth == pytest.approx(other.worth, abs=1e-9)


def blocks(sizes: list[int], *, seed: int) -> Floats:
    """Tasks that help those of their block, and hurt the others."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    same = block[:, None] == block[None, :]
    found: Floats = np.where(same, 1.0, -1.0) + np.random.default_rng(seed).uniform(-0.2, 0.2, size=same.shape)
    return found


def test_blocks_are_found() -> None:
    found = choose_groups(blocks([3, 2, 4], seed=0), encoders=3)
    assert {group.serves for group in found.groups} == {(0, 1, 2), (3, 4), (5, 6, 7, 8)}


def test_a_task_that_all_others_hurt_stays_alone_and_helps_where_it_does() -> None:
    affinity = np.array([[0.0, 1.0, -5.0], [1.0, 0.0, -5.0], [3.0, 0.5, 0.0]])
    assert choose_groups(affinity, encoders=2).groups == (Group((0, 1, 2), (0, 1)), Group((2,), (2,)))
    assert choose_groups(affinity, encoders=3).groups == (Group((0, 2), (0,)), Group((0, 1), (1,)), Group((2,), (2,)))


def test_many_tasks_are_searched_and_it_says_so() -> None:
    affinity = blocks([6, 5, 4], seed=1)
    found = choose_groups(affinity, encoders=3)
    assert not found.exact
    assert {group.serves for group in found.groups} == {tuple(range(6)), tuple(range(6, 11)), tuple(range(11, 15))}
    check(found.groups, affinity=affinity, encoders=3, worth=found.worth)


@pytest.mark.parametrize("seed", range(6))
def test_the_search_comes_near_the_best(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(seed)
    affinity = source.normal(size=(7, 7))
    best = choose_groups(affinity, encoders=3)
    monkeypatch.setattr(grouping, "EXACT", 3)
    found = choose_groups(affinity, encoders=3)
    check(found.groups, affinity=affinity, encoders=3, worth=found.worth)
    assert 0.95 * best.worth <= found.worth <= best.worth + 1e-9

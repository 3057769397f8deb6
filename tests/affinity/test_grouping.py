"""Groups compared with an exhaustive search."""

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
    """Return the best value over all choices of groups, with each task predicted by the best group for it."""
    tasks = range(len(affinity))
    groups = [group for size in range(1, len(affinity) + 1) for group in combinations(tasks, size)]
    best = -np.inf
    for count in range(1, min(encoders, len(affinity)) + 1):
        for chosen in combinations(groups, count):
            values = [
                max((group_value(affinity, Group(g, (task,))) for g in chosen if task in g), default=-np.inf)
                for task in tasks
            ]
            best = max(best, sum(values))
    return float(best)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(AFFINITIES, st.integers(1, 4))
def test_the_groups_are_optimal(affinity: np.ndarray, encoders: int) -> None:
    chosen = choose_groups(affinity, encoders=encoders)
    assert chosen.exact
    assert chosen.value == pytest.approx(brute(affinity, encoders), abs=1e-9)
    check(chosen.groups, affinity=affinity, encoders=encoders, worth=chosen.value)


def check(groups: tuple[Group, ...], *, affinity: np.ndarray, encoders: int, worth: float) -> None:
    assert 1 <= len(groups) <= encoders
    assert sorted(task for group in groups for task in group.serves) == list(range(len(affinity)))
    assert all(set(group.serves) <= set(group.tasks) for group in groups)
    assert sum(group_value(affinity, group) for group in groups) == pytest.approx(worth, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(AFFINITIES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_of_the_tasks_does_not_matter(affinity: np.ndarray, encoders: int, source: object) -> None:
    order = np.random.default_rng(source.randrange(2**32)).permutation(len(affinity))  # type: ignore[attr-defined]
    original, permuted = (choose_groups(a, encoders=encoders) for a in (affinity, affinity[np.ix_(order, order)]))
    assert original.value == pytest.approx(permuted.value, abs=1e-9)


def blocks(sizes: list[int], *, seed: int) -> Floats:
    """Return affinities of tasks that help the tasks of their block and hurt the others."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    same = block[:, None] == block[None, :]
    affinity: Floats = np.where(same, 1.0, -1.0) + np.random.default_rng(seed).uniform(-0.2, 0.2, size=same.shape)
    return affinity


def test_blocks_are_found() -> None:
    chosen = choose_groups(blocks([3, 2, 4], seed=0), encoders=3)
    assert {group.serves for group in chosen.groups} == {(0, 1, 2), (3, 4), (5, 6, 7, 8)}


def test_a_task_that_all_others_hurt_is_a_single_and_may_be_auxiliary_elsewhere() -> None:
    affinity = np.array([[0.0, 1.0, -5.0], [1.0, 0.0, -5.0], [3.0, 0.5, 0.0]])
    assert choose_groups(affinity, encoders=2).groups == (Group((0, 1, 2), (0, 1)), Group((2,), (2,)))
    assert choose_groups(affinity, encoders=3).groups == (Group((0, 2), (0,)), Group((0, 1), (1,)), Group((2,), (2,)))


def test_local_search_for_many_tasks_is_not_exact() -> None:
    affinity = blocks([6, 5, 4], seed=1)
    chosen = choose_groups(affinity, encoders=3)
    assert not chosen.exact
    assert {group.serves for group in chosen.groups} == {
        tuple(range(6)),
        tuple(range(6, 11)),
        tuple(range(11, 15)),
    }
    check(chosen.groups, affinity=affinity, encoders=3, worth=chosen.value)


@pytest.mark.parametrize("seed", range(6))
def test_local_search_is_nearly_optimal(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(seed)
    affinity = source.normal(size=(7, 7))
    best = choose_groups(affinity, encoders=3)
    monkeypatch.setattr(grouping, "EXACT", 3)
    chosen = choose_groups(affinity, encoders=3)
    check(chosen.groups, affinity=affinity, encoders=3, worth=chosen.value)
    assert 0.95 * best.value <= chosen.value <= best.value + 1e-9


def test_more_encoders_than_tasks() -> None:
    affinity = blocks([5, 4, 4], seed=2)
    chosen = choose_groups(affinity, encoders=10**9)
    check(chosen.groups, affinity=affinity, encoders=len(affinity), worth=chosen.value)
    assert chosen == choose_groups(affinity, encoders=len(affinity))


@pytest.mark.parametrize("seed", range(4))
def test_totals_after_changes_are_those_of_the_changed_groups(seed: int) -> None:
    source = np.random.default_rng(seed)
    affinity, is_member = source.normal(size=(6, 6)), source.random((3, 6)) < 0.5
    totals = grouping._totals_after_changes(affinity * (1 - np.eye(6)), is_member)
    for k in range(3):
        for task in range(6):
            groups = [set(np.flatnonzero(row).tolist()) for row in is_member]
            groups[k] ^= {task}
            assert totals[k, task] == pytest.approx(grouping._total_value(affinity, groups))

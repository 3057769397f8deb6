"""Task grouping (network selection of Fifty et al., 2021, section 4): which tasks to train together.

There are at most K groups of tasks, and each group is a model of its own. Every task is predicted by the group with the
highest value for it, and may be an auxiliary task in other groups. The value of a group for a task is the mean affinity
of the other tasks in the group to it.

Departure: a group of a single task has the value 0, because nothing helps or hurts it; the code of the paper has no
groups of a single task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nlpmtl.affinity.metrics import Floats
from nlpmtl.deprecation import RenamedAttribute

Sets = NDArray[np.int64]
"""Sets of tasks, each encoded as the bits of an integer."""
EXACT = 12
"""Maximum number of tasks for which the optimal groups are found; beyond, a local search is used."""
_MAX_CHANGES_PER_TASK = 50
_RANDOM_STARTS = 10
_MIN_GAIN = 1e-12
"""Minimum gain of a change, above rounding errors."""


@dataclass(frozen=True)
class Group:
    """Tasks that are trained together.

    Args:
        tasks: indices of all tasks, in ascending order.
        serves: indices of the tasks that this group predicts; the others are auxiliary tasks.
    """

    tasks: tuple[int, ...]
    serves: tuple[int, ...]


@dataclass(frozen=True)
class Grouping:
    """Groups that together predict every task once.

    Args:
        groups: ordered by the first task that they predict.
        value: value of the groups, summed over tasks.
        exact: whether the groups are optimal.
    """

    groups: tuple[Group, ...]
    value: float
    exact: bool

    worth = RenamedAttribute("value")


def group_value(affinity: Floats, group: Group) -> float:
    """Return the value of a group, summed over the tasks that it predicts; `affinity` is ``[tasks, tasks]``."""
    return float(sum(_mean_affinity(affinity, group.tasks, task) for task in group.serves))


def choose_groups(affinity: Floats, *, encoders: int) -> Grouping:
    """Return the groups with the highest value: optimal for up to 12 tasks, by local search for more.

    Args:
        affinity: effect of the row's task on the column's task, ``[tasks, tasks]``; the diagonal is ignored.
        encoders: maximum number of groups, ≥ 1; more than one per task are useless.
    """
    encoders = min(encoders, len(affinity))
    exact = len(affinity) <= EXACT
    unordered = _exact_search(affinity, encoders) if exact else _local_search(affinity, encoders)
    groups = tuple(sorted(unordered, key=lambda group: group.serves))
    return Grouping(groups, sum(group_value(affinity, group) for group in groups), exact)


def _mean_affinity(affinity: Floats, tasks: Sequence[int], task: int) -> float:
    """Return the mean affinity of the other tasks of a group to one of its tasks."""
    others = [i for i in tasks if i != task]
    return float(affinity[others, task].mean()) if others else 0.0


# --- exact search: sets of tasks are the bits of an integer -----------------------------------------------------------


def _exact_search(affinity: Floats, encoders: int) -> list[Group]:
    """Find the optimal groups by dynamic programming: those of a set of tasks in k groups from subsets in k − 1.

    The sets of tasks that the groups predict are a partition of all tasks, whatever auxiliary tasks the groups have. So
    first find the best group that predicts each set of tasks (3^n pairs), then the best partition (3^n per group).
    """
    count = len(affinity)
    values, best_groups = _best_groups(affinity)
    totals, choices = values.copy(), [np.arange(1 << count)]  # one group predicts the whole set
    for _ in range(encoders - 1):
        new_totals, choice = totals.copy(), np.zeros(1 << count, dtype=np.int64)
        for tasks in range(1, 1 << count):
            lowest = tasks & -tasks
            rest = _subsets(tasks ^ lowest)
            sums = values[rest | lowest] + totals[tasks ^ (rest | lowest)]
            best = int(np.argmax(sums))
            if sums[best] > new_totals[tasks] + _MIN_GAIN:
                new_totals[tasks], choice[tasks] = sums[best], rest[best] | lowest
        totals = new_totals
        choices.append(choice)
    groups, remaining = [], (1 << count) - 1
    for choice in reversed(choices):
        served = int(choice[remaining])
        if served:  # 0: another group gains nothing
            groups.append(Group(_bits(int(best_groups[served])), _bits(served)))
            remaining ^= served
    return groups


def _best_groups(affinity: Floats) -> tuple[Floats, Sets]:
    """Return for every set of tasks the value of the best group that predicts it, and that group, small ones first."""
    count = len(affinity)
    values: Floats = np.full(1 << count, -np.inf)
    best_groups = np.zeros(1 << count, dtype=np.int64)
    values[0] = 0.0
    for group in sorted(range(1, 1 << count), key=int.bit_count):
        tasks = _bits(group)
        sets = _subsets(group)
        sums = np.zeros(1)
        for task in tasks:  # in the order in which `_subsets` doubles
            sums = np.concatenate([sums, sums + _mean_affinity(affinity, tasks, task)])
        better = sums > values[sets] + _MIN_GAIN
        values[sets[better]], best_groups[sets[better]] = sums[better], group
    return values, best_groups


def _subsets(tasks: int) -> Sets:
    """Return all subsets of a set, the empty one first."""
    subsets = np.zeros(1, dtype=np.int64)
    for task in _bits(tasks):
        subsets = np.concatenate([subsets, subsets | (1 << task)])
    return subsets


def _bits(number: int) -> tuple[int, ...]:
    return tuple(i for i in range(number.bit_length()) if number >> i & 1)


# --- local search -----------------------------------------------------------------------------------------------------


def _local_search(affinity: Floats, encoders: int) -> list[Group]:
    """Find good groups by local search: repeatedly move one task into or out of a group, by the largest gain.

    It starts from the levels of an agglomerative clustering, and from random groups.
    """
    generator = np.random.default_rng(0)
    starts = [start for start in _agglomerative(affinity) if len(start) <= encoders]
    for membership in generator.random((_RANDOM_STARTS, encoders, len(affinity))) < 0.5:
        membership[generator.integers(encoders), ~membership.any(axis=0)] = True
        starts.append([set(np.flatnonzero(row).tolist()) for row in membership])
    candidates = [_improve(affinity, start, encoders=encoders) for start in starts]
    return _assign(affinity, max(candidates, key=lambda groups: _total_value(affinity, groups)))


def _agglomerative(affinity: Floats) -> Iterator[list[set[int]]]:
    """Yield the levels of a clustering that starts with single tasks and merges the two groups of highest affinity."""
    groups = [{task} for task in range(len(affinity))]
    mutual = affinity + affinity.T
    yield [set(group) for group in groups]
    while len(groups) > 1:
        a, b = max(
            combinations(range(len(groups)), 2),
            key=lambda pair: float(mutual[np.ix_(sorted(groups[pair[0]]), sorted(groups[pair[1]]))].mean()),
        )
        groups[a] |= groups.pop(b)
        yield [set(group) for group in groups]


def _improve(affinity: Floats, start: Sequence[set[int]], *, encoders: int) -> list[set[int]]:
    others = affinity * (1 - np.eye(len(affinity)))
    is_member = np.zeros((encoders, len(affinity)), dtype=np.bool_)
    for k, group in enumerate(start):
        is_member[k, sorted(group)] = True
    total = _total_value(affinity, start)
    for _ in range(_MAX_CHANGES_PER_TASK * len(affinity)):
        totals = _totals_after_changes(others, is_member)
        if totals.max() <= total + _MIN_GAIN:
            break
        k, task = np.argwhere(totals >= totals.max() - _MIN_GAIN)[0]
        total = float(totals[k, task])
        is_member[k, task] ^= True
    return [set(np.flatnonzero(row).tolist()) for row in is_member]


def _totals_after_changes(affinity: Floats, is_member: NDArray[np.bool_]) -> Floats:
    """Return the `_total_value` after each change of one task in one group, ``[groups, tasks]``.

    Args:
        affinity: ``[tasks, tasks]``, with a diagonal of 0.
        is_member: ``[groups, tasks]``.
    """
    values = _member_values(is_member @ affinity, is_member)
    totals = []
    for k, members in enumerate(is_member):
        changed = members ^ np.eye(len(members), dtype=np.bool_)  # a row for each changed task
        sums = members @ affinity + np.where(members, -1, 1)[:, None] * affinity
        best_of_others = np.delete(values, k, axis=0).max(axis=0, initial=-np.inf)
        totals.append(np.maximum(_member_values(sums, changed), best_of_others).sum(axis=1))
    return np.stack(totals)


def _member_values(sums: Floats, is_member: NDArray[np.bool_]) -> Floats:
    """Return the value of groups for their members, from the sums of their affinities, ``[groups, tasks]``.

    It is 0 for a group of one task, and −∞ for tasks that are not in the group.
    """
    sizes = is_member.sum(axis=1, keepdims=True)
    means = np.where(sizes > 1, sums / np.maximum(sizes - 1, 1), 0.0)
    return np.where(is_member, means, -np.inf)


def _total_value(affinity: Floats, groups: Sequence[set[int]]) -> float:
    """Return the value of groups if each task is predicted by the best one for it; −∞ if a task is in no group."""
    best = np.full(len(affinity), -np.inf)
    for group in groups:
        members = np.array(sorted(group), dtype=np.int64)
        if len(members) == 1:
            best[members] = np.maximum(best[members], 0.0)
        elif len(members):
            inside = affinity[np.ix_(members, members)]
            values = (inside.sum(axis=0) - np.diag(inside)) / (len(members) - 1)
            best[members] = np.maximum(best[members], values)
    return float(best.sum())


def _assign(affinity: Floats, groups: Sequence[set[int]]) -> list[Group]:
    """Assign each task to the group that predicts it best, and drop groups that predict nothing."""
    tasks = [tuple(sorted(group)) for group in groups]
    serves: list[list[int]] = [[] for _ in groups]
    for task in range(len(affinity)):
        containing = [k for k, group in enumerate(groups) if task in group]
        serves[max(containing, key=lambda k: _mean_affinity(affinity, tasks[k], task))].append(task)
    return [Group(members, tuple(served)) for members, served in zip(tasks, serves, strict=True) if served]

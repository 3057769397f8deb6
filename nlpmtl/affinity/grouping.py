"""Which tasks to train together, where there may be several encoders.

The network selection of Fifty et al. 2021, section 4: at most K groups of tasks, each group a model of its own; every
task is answered by the one group that helps it most, and other groups may have it along because it helps them. What a
group is worth to one of its tasks is the mean affinity of the others upon it. A task alone is worth 0 here, as nothing
helps or hurts it; the code of the paper never leaves one alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nlpmtl.affinity.metrics import Floats

Sets = NDArray[np.int64]
"""Sets of tasks, each the bits of a number."""
EXACT = 12
"""Tasks up to which the best groups are found; of more, good ones."""
_ROUNDS = 50
_STARTS = 10
"""Random ones of the local search."""
_LEAST = 1e-12
"""What a change must gain, so that rounding does not make one."""


@dataclass(frozen=True)
class Group:
    """Tasks trained together.

    Args:
        tasks: all of them, as indices, ascending.
        serves: those that this group answers; the others are there to help.
    """

    tasks: tuple[int, ...]
    serves: tuple[int, ...]


@dataclass(frozen=True)
class Grouping:
    """Groups that serve every task once.

    Args:
        groups: by the first task that they serve.
        worth: what they are worth to the tasks, summed.
        exact: whether no other groups are worth more.
    """

    groups: tuple[Group, ...]
    worth: float
    exact: bool


def group_value(affinity: Floats, group: Group) -> float:
    """What a group is worth to the tasks that it serves, summed; `affinity` is ``[upon others, tasks]``."""
    return float(sum(_mean_affinity(affinity, group.tasks, task) for task in group.serves))


def choose_groups(affinity: Floats, *, encoders: int) -> Grouping:
    """The groups that are worth most: the best of all for a few tasks, the best found by local search for many.

    Args:
        affinity: of the task in the line upon the one in the column, ``[tasks, tasks]``; its diagonal is not read.
        encoders: groups at most, ≥ 1.
    """
    many = len(affinity)
    exact = many <= EXACT
    found = _search(affinity, encoders) if exact else _local_search(affinity, encoders)
    groups = tuple(sorted(found, key=lambda group: group.serves))
    return Grouping(groups, sum(group_value(affinity, group) for group in groups), exact)


def _mean_affinity(affinity: Floats, tasks: Sequence[int], task: int) -> float:
    others = [i for i in tasks if i != task]
    return float(affinity[others, task].mean()) if others else 0.0


# --- few tasks: sets of tasks are the bits of a number ----------------------------------------------------------------


def _search(affinity: Floats, encoders: int) -> list[Group]:
    """By dynamic programming: the best share-out of a set of tasks to k groups, from that of its parts to k − 1.

    Every task served by one group is a partition of the tasks, whatever else the groups have along. So first, for every
    set of tasks the best group that serves it: 3^n pairs; then the best partition: as many for each encoder more.
    """
    many = len(affinity)
    worth, best = _best_groups(affinity)
    totals, parts = worth.copy(), [np.arange(1 << many)]  # one group serves the whole set
    for _ in range(min(encoders, many) - 1):
        more, part = totals.copy(), np.zeros(1 << many, dtype=np.int64)
        for tasks in range(1, 1 << many):
            lowest = tasks & -tasks
            rest = _subsets(tasks ^ lowest)
            sums = worth[rest | lowest] + totals[tasks ^ (rest | lowest)]
            at = int(np.argmax(sums))
            if sums[at] > more[tasks] + _LEAST:
                more[tasks], part[tasks] = sums[at], rest[at] | lowest
        totals = more
        parts.append(part)
    groups, left = [], (1 << many) - 1
    for part in reversed(parts):
        served = int(part[left])
        if served:  # 0: another group gains nothing
            groups.append(Group(_bits(int(best[served])), _bits(served)))
            left ^= served
    return groups


def _best_groups(affinity: Floats) -> tuple[Floats, Sets]:
    """For every set of tasks what its best group is worth to it, and that group; smaller groups first."""
    many = len(affinity)
    worth: Floats = np.full(1 << many, -np.inf)
    best = np.zeros(1 << many, dtype=np.int64)
    worth[0] = 0.0
    for group in sorted(range(1, 1 << many), key=int.bit_count):
        tasks = _bits(group)
        sets = _subsets(group)
        sums = np.zeros(1)
        for task in tasks:  # in the order in which `_subsets` doubles
            sums = np.concatenate([sums, sums + _mean_affinity(affinity, tasks, task)])
        better = sums > worth[sets] + _LEAST
        worth[sets[better]], best[sets[better]] = sums[better], group
    return worth, best


def _subsets(tasks: int) -> Sets:
    """All subsets of a set, the empty one first."""
    found = np.zeros(1, dtype=np.int64)
    for task in _bits(tasks):
        found = np.concatenate([found, found | (1 << task)])
    return found


def _bits(number: int) -> tuple[int, ...]:
    return tuple(i for i in range(number.bit_length()) if number >> i & 1)


# --- many tasks -------------------------------------------------------------------------------------------------------


def _local_search(affinity: Floats, encoders: int) -> list[Group]:
    """By local search: a task enters or leaves a group as long as that gains, the change that gains most first.

    It starts from as few groups as there may be encoders, made by merging the nearest, and from random ones.
    """
    source = np.random.default_rng(0)
    starts = [start for start in _merged(affinity) if len(start) <= encoders]
    for table in source.random((_STARTS, encoders, len(affinity))) < 0.5:
        table[source.integers(encoders), ~table.any(axis=0)] = True
        starts.append([set(np.flatnonzero(line).tolist()) for line in table])
    found = [_improve(affinity, start, encoders=encoders) for start in starts]
    return _served(affinity, max(found, key=lambda groups: _total(affinity, groups)))


def _merged(affinity: Floats) -> Iterator[list[set[int]]]:
    """Groups that begin as single tasks, and of which the two with most affinity to each other become one."""
    groups = [{task} for task in range(len(affinity))]
    both = affinity + affinity.T
    yield [set(group) for group in groups]
    while len(groups) > 1:
        a, b = max(
            combinations(range(len(groups)), 2),
            key=lambda pair: float(both[np.ix_(sorted(groups[pair[0]]), sorted(groups[pair[1]]))].mean()),
        )
        groups[a] |= groups.pop(b)
        yield [set(group) for group in groups]


def _improve(affinity: Floats, start: Sequence[set[int]], *, encoders: int) -> list[set[int]]:
    groups = [set(group) for group in start] + [set() for _ in range(encoders - len(start))]
    total = _total(affinity, groups)
    for _ in range(_ROUNDS * len(affinity)):
        changes = []
        for k in range(len(groups)):
            for task in range(len(affinity)):
                groups[k] ^= {task}
                changes.append((_total(affinity, groups), -k, -task))
                groups[k] ^= {task}
        gained, k, task = max(changes)
        if gained <= total + _LEAST:
            break
        total = gained
        groups[-k] ^= {-task}
    return groups


def _total(affinity: Floats, groups: Sequence[set[int]]) -> float:
    """What groups are worth to all tasks, each answered by the best for it; −∞ where a task is in none."""
    best = np.full(len(affinity), -np.inf)
    for group in groups:
        own = np.array(sorted(group), dtype=np.int64)
        if len(own) == 1:
            best[own] = np.maximum(best[own], 0.0)
        elif len(own):
            inside = affinity[np.ix_(own, own)]
            helps = (inside.sum(axis=0) - np.diag(inside)) / (len(own) - 1)
            best[own] = np.maximum(best[own], helps)
    return float(best.sum())


def _served(affinity: Floats, groups: Sequence[set[int]]) -> list[Group]:
    tasks = [tuple(sorted(group)) for group in groups]
    serves: list[list[int]] = [[] for _ in groups]
    for task in range(len(affinity)):
        inside = [k for k, group in enumerate(groups) if task in group]
        serves[max(inside, key=lambda k: _mean_affinity(affinity, tasks[k], task))].append(task)
    return [Group(own, tuple(answered)) for own, answered in zip(tasks, serves, strict=True) if answered]

"""Task affinity (Fifty et al., 2021): which tasks of a run help or hurt each other, measured before a long run.

relate("quickstart", steps=60).pairs  # (Pair(tasks=('topic', 'sentiment'), reading='unclear'), …)
"""

from __future__ import annotations

from nlpmtl.affinity.driver import ENCODERS, iter_relate, relate
from nlpmtl.affinity.estimate import Estimate
from nlpmtl.affinity.grouping import Group, Grouping, choose_groups
from nlpmtl.affinity.relations import ALL, UNCLEAR, UNRELATED, Pair, Relations

__all__ = [
    "ALL",
    "ENCODERS",
    "UNCLEAR",
    "UNRELATED",
    "Estimate",
    "Group",
    "Grouping",
    "Pair",
    "Relations",
    "choose_groups",
    "iter_relate",
    "relate",
]

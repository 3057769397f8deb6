"""How related the tasks of a run are, measured before a long run.

relate("quickstart", steps=60).pairs                      # (Pair(tasks=('topic', 'mood'), reading='unclear'), …)
"""

from __future__ import annotations

from nlpmtl.relating.estimate import Estimate
from nlpmtl.relating.grouping import Group, Grouping, choose_groups
from nlpmtl.relating.relations import ALL, UNCLEAR, UNRELATED, Pair, Relations
from nlpmtl.relating.run import ENCODERS, relate, relating

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
    "relate",
    "relating",
]

"""Multi-task versus single-task training over several seeds, with bootstrap confidence intervals.

For example, ``compare("quickstart", seeds=3)["topic"].difference`` is the mean score of the multi-task models minus
that of the single-task models.
"""

from __future__ import annotations

from nlpmtl.comparison.driver import compare, iter_compare
from nlpmtl.comparison.results import CompareResult, ConditionScores, Cost, TaskResult

__all__ = ["CompareResult", "ConditionScores", "Cost", "TaskResult", "compare", "iter_compare"]

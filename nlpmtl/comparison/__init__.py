"""Comparing: a mixture of tasks beside each of its tasks alone, over seeds."""

from __future__ import annotations

from nlpmtl.comparison.driver import compare, iter_compare
from nlpmtl.comparison.results import CompareResult, ConditionScores, Cost, TaskResult

__all__ = ["CompareResult", "ConditionScores", "Cost", "TaskResult", "compare", "iter_compare"]

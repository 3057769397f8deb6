"""Comparing: a mixture of tasks beside each of its tasks alone, over seeds."""

from __future__ import annotations

from nlpmtl.comparing.compare import compare, comparing
from nlpmtl.comparing.result import CompareResult, Cost, Side, TaskResult

__all__ = ["CompareResult", "Cost", "Side", "TaskResult", "compare", "comparing"]

"""Parameters of tests that run for a few of their parameters in the fast tests, and for all in the slow ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_except(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Return the values of a parameter, marked as slow except for the given ones."""
    parameters = list(values)
    assert all(value in parameters for value in fast)
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in parameters]

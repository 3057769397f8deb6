"""How figures that were measured several times stand in a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def median_spread(values: Sequence[float], digits: int) -> str:
    """``median (least to most)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def mean_spread(values: Sequence[float], digits: int) -> str:
    """``mean ± standard deviation``, which is 0 of a single value."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"

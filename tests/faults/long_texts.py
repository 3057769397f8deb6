"""Texts of a million characters: what they take in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.long_texts import PREDICTIONS, measure
from tests.faults.harness import Count

SIZE = 1_000_000
"""Characters of a text."""
MOST_MIB = 700
"""Above the process with its model, the predictions with their Python objects included."""


def memory(scratch: Path, *, cases: Iterable[str] = PREDICTIONS, size: int = SIZE) -> Count:
    """Predict each kind of long text in a process of its own."""
    count = Count(f"texts of {size:,} characters: prediction ends, with at most {MOST_MIB} MiB above the model")
    for case in cases:
        mib = measure(case, size)["MiB"]
        count.add(case, mib < MOST_MIB, f"{mib:.0f} MiB")
    return count

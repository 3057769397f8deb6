"""Memory for texts of a million characters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.long_texts import PREDICTIONS, measure
from tests.faults.harness import FaultCount

SIZE = 1_000_000
"""Characters per text."""
MAX_MIB = 700
"""Limit above the loaded model, predictions and their Python objects included."""


def memory(scratch: Path, *, cases: Iterable[str] = PREDICTIONS, size: int = SIZE) -> FaultCount:
    """Predict each kind of long text in a separate process."""
    count = FaultCount(f"texts of {size:,} characters: prediction ends, with at most {MAX_MIB} MiB above the model")
    for case in cases:
        mib = measure(case, size)["MiB"]
        count.add(case, mib < MAX_MIB, f"{mib:.0f} MiB")
    return count

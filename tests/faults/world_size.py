"""Runs that are resumed with another number of processes: the same rows per step, and the same losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.harness import FaultCount, computed_rows, copy_until, small_run, train_all
from tests.tiny import metrics

STEPS = 40
BATCHES = ("mixed", "single")
WORLD_SIZES = ((1, 2, 1), (2, 1, 2))


def change(
    scratch: Path, *, batches: Sequence[str] = BATCHES, world_sizes: Sequence[tuple[int, int, int]] = WORLD_SIZES
) -> FaultCount:
    """Train 13 steps with one process, 13 with two, and the rest with one; and 2, 1, 2. Without dropout."""
    count = FaultCount(
        "with one, two and again one process, without dropout: the same rows computed, and losses within 1e-5"
    )
    base = small_run(scratch / "tiny", dropout=0.0, steps=STEPS)
    for kind in batches:
        run = {**base, "sampling": {"kind": "temperature", "batches": kind}}
        for sizes in world_sizes:
            directory = scratch / f"{kind}-{sizes}"
            train_all([_job(run, directory / "whole")], processes=1, scratch=scratch)
            output = directory / "whole"
            rows: dict[str, Any] = {}
            for number, (processes, start) in enumerate(zip(sizes, (0, 13, 26), strict=True)):
                copy = copy_until(output, start, directory / str(number))
                train_all([{**_job(run, copy), "resume": True}], processes=processes, scratch=scratch)
                output, rows = copy, {**rows, **computed_rows(copy)}
            count.add(f"{directory.name}: rows", rows == computed_rows(directory / "whole"), "other rows")
            for reference, actual in zip(metrics(directory / "whole"), metrics(output), strict=True):
                difference = max(
                    abs(reference["losses"][task] - actual["losses"].get(task, 1e9)) for task in reference["losses"]
                )
                count.add(
                    f"{directory.name}: step {reference['step']}", difference < 1e-5, f"{difference:.1e} difference"
                )
    return count


def _job(run: dict[str, object], output: Path) -> dict[str, object]:
    return {"run": run, "output": str(output), "resume": False}

"""A run that goes on with another number of processes: the same rows in the same steps, the same losses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.harness import Count, cut_at, play_all, small_run
from tests.tiny import metrics

STEPS = 40


ALL_BATCHES = ("mixed", "single")
ALL_WORLDS = ((1, 2, 1), (2, 1, 2))


def changing(
    scratch: Path, *, kinds: Sequence[str] = ALL_BATCHES, orders: Sequence[tuple[int, int, int]] = ALL_WORLDS
) -> Count:
    """Thirteen steps alone, thirteen by two processes, the rest alone; and the other way round; without dropout."""
    count = Count("with one, two and again one process, without dropout: the same rows, and losses within 1e-5")
    base = small_run(scratch / "tiny", dropout=0.0, steps=STEPS)
    for batches in kinds:
        run = {**base, "sampling": {"kind": "temperature", "batches": batches}}
        for worlds in orders:
            place = scratch / f"{batches}-{worlds}"
            play_all([_job(run, place / "whole")], processes=1, scratch=scratch)
            output = place / "whole"
            rows: dict[str, Any] = {}
            for part, (processes, start) in enumerate(zip(worlds, (0, 13, 26), strict=True)):
                copy = cut_at(output, start, place / str(part))
                play_all([{**_job(run, copy), "resume": True}], processes=processes, scratch=scratch)
                output, rows = copy, {**rows, **json.loads((copy / "rows-0.json").read_text(encoding="utf-8"))}
            expected = json.loads((place / "whole" / "rows-0.json").read_text(encoding="utf-8"))
            count.add(f"{place.name}: rows", rows == expected, "other rows")
            for one, two in zip(metrics(place / "whole"), metrics(output), strict=True):
                apart = max(abs(one["losses"][task] - two["losses"].get(task, 1e9)) for task in one["losses"])
                count.add(f"{place.name}: step {one['step']}", apart < 1e-5, f"{apart:.1e} apart")
    return count


def _job(run: dict[str, object], output: Path) -> dict[str, object]:
    return {"run": run, "output": str(output), "resume": False}

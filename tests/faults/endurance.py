"""Thousands of steps: memory and open files stay where they are."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from tests.faults.harness import Count, ready, small_run


def steps(scratch: Path, *, many: int) -> Count:
    """Train so many steps, with evaluations and checkpoints on the way; look at each hundredth of them."""
    count = Count(f"{many:,} steps: memory and open files do not grow after the first fifth")
    run = small_run(
        scratch / "tiny", steps=many, train={"save_every": many // 20, "keep": 2}, eval={"every": many // 20}
    )
    memory: list[float] = []
    files: list[int] = []
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    with ready(run, scratch / "out", resume=False) as trainer:
        for _ in trainer.events():
            if trainer.state.cursor.step * 100 // many > len(memory):
                memory.append(int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * page)
                files.append(len(list(Path("/proc/self/fd").iterdir())))
    fifth = len(memory) // 5
    early, late = statistics.median(memory[fifth : 2 * fifth]), statistics.median(memory[-fifth:])
    count.add("memory", late < early + max(8.0, 0.02 * early), f"{early:.0f} MiB became {late:.0f}")
    count.add("open files", max(files[-fifth:]) <= max(files[:fifth]), f"{files[0]} became {files[-1]}")
    count.what += f" ({early:.0f} and {late:.0f} MiB; {files[fifth]} and {files[-1]} files)"
    return count

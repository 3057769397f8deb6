"""Memory and open files do not grow over thousands of steps."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from tests.faults.harness import FaultCount, open_trainer, small_run


def steps(scratch: Path, *, steps: int) -> FaultCount:
    """Train with evaluations and checkpoints; measure after each hundredth of the steps."""
    count = FaultCount(f"{steps:,} steps: memory and open files do not grow after the first fifth")
    run = small_run(
        scratch / "tiny", steps=steps, train={"save_every": steps // 20, "keep": 2}, eval={"every": steps // 20}
    )
    memory: list[float] = []
    files: list[int] = []
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    with open_trainer(run, scratch / "out", resume=False) as trainer:
        for _ in trainer.events():
            if trainer.state.cursor.step * 100 // steps > len(memory):
                memory.append(int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * page)
                files.append(len(list(Path("/proc/self/fd").iterdir())))
    fifth = len(memory) // 5
    early, late = statistics.median(memory[fifth : 2 * fifth]), statistics.median(memory[-fifth:])
    count.add("memory", late < early + max(8.0, 0.02 * early), f"{early:.0f} MiB became {late:.0f}")
    count.add("open files", max(files[-fifth:]) <= max(files[:fifth]), f"{files[0]} became {files[-1]}")
    count.description += f" ({early:.0f} and {late:.0f} MiB; {files[fifth]} and {files[-1]} files)"
    return count

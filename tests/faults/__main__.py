"""All faults, as often as it takes to trust them: writes docs/reliability.md from what was counted.

    python -m tests.faults [--output docs/reliability.md] [--only NAME …]

The counts of each part are kept in benchmarks/results/reliability.json, so that parts can be run one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.faults import (
    damage,
    encoders,
    endurance,
    hostile,
    killing,
    long_texts,
    numbers,
    resumed,
    resuming,
    serving,
    stopping,
    traps,
    worlds,
)
from tests.faults.harness import Count

DOCS = Path(__file__).resolve().parents[2] / "docs"
KNOWN = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "reliability.json"
Part = Callable[[Path], Count]
AT_ONCE = 2
"""Runs of one process that go on beside each other."""


def parts() -> dict[str, Part]:
    """What is tried, by name."""
    return {
        "resume": lambda scratch: resuming.each_pair(scratch, at_once=AT_ONCE),
        "resume-all": lambda scratch: resuming.all_settings(scratch, at_once=AT_ONCE),
        "resume-sharded": resuming.in_slices,
        "kill-at-random": lambda scratch: killing.at_random(scratch, many=200, finished=20),
        "kill-at-points": lambda scratch: killing.at_points(scratch, times=3),
        "kill-resumed": resumed.killed,
        "resume-other-data": resumed.other_data,
        "damage": lambda scratch: damage.mutations(scratch, many=500),
        "all-damaged": damage.all_damaged,
        "full-disk": lambda scratch: damage.full_disk(scratch, many=20),
        "signals": lambda scratch: stopping.signals(scratch, many=50),
        "restarted": lambda scratch: stopping.replaced(scratch, many=20),
        "processes": worlds.changing,
        "non-finite": numbers.stopped,
        "skipped-steps": numbers.left_out,
        "memory": numbers.memory,
        "rows-handwritten": hostile.rows_by_hand,
        "rows-random": lambda scratch: hostile.rows_by_chance(scratch, many=10_000),
        "configs": lambda scratch: hostile.configs(scratch, many=10_000),
        "pickles": traps.pickles,
        "remote-code": traps.remote_code,
        "names": traps.names,
        "links": traps.links,
        "secret": traps.secret,
        "slow-clients": lambda scratch: serving.slow_clients(scratch, connections=1100),
        "panics": lambda scratch: serving.panics(scratch, requests=1000),
        "long-texts": long_texts.memory,
        "batches": encoders.batches,
        "steps": lambda scratch: endurance.steps(scratch, many=10_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DOCS / "reliability.md")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(parts())}")
    asked = parser.parse_args()
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    torch.set_num_threads(1)
    chosen = parts()
    for name in asked.only or chosen:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["NLPMTL_CACHE"] = str(Path(scratch) / "cache")
            start = time.perf_counter()
            count = chosen[name](Path(scratch))
        found = _known()  # another part may have been counted in the meantime
        found[name] = {
            "what": count.what,
            "tried": count.tried,
            "wrong": count.wrong,
            "seconds": round(time.perf_counter() - start),
            "date": date.today().isoformat(),
        }
        print(f"{name}: {count} ({found[name]['seconds']} s)", flush=True)
        for line in count.wrong[:5]:
            print(f"  {line}", file=sys.stderr)
        KNOWN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = {name: one for name, one in _known().items() if name in chosen}
    asked.output.write_text(page({name: found[name] for name in chosen if name in found}), encoding="utf-8")
    sys.exit(any(one["wrong"] for one in found.values()))


def _known() -> dict[str, Any]:
    """What was counted so far."""
    known: dict[str, Any] = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    return known


PAGE = """# Reliability

Can you lose a run, a model or a request? These fault-injection tests try it with real processes, signals and files, on a randomly initialised two-layer
encoder. The command writes this page; to run a single part: `python -m tests.faults --only NAME`.

<!-- not run: takes two hours -->
```console
$ make faults
```

| part | fault and expected behaviour | passed | seconds | date |
|---|---|---|---|---|
{lines}

{rest}Python {python}, torch {torch}, transformers {transformers}, {system}, {cores} cores, {capability}, one thread per process.
"""  # noqa: E501


def page(found: dict[str, Any]) -> str:
    lines = []
    for name, one in found.items():
        right = one["tried"] - len(one["wrong"])
        lines.append(f"| {name} | {one['what']} | {right:,} of {one['tried']:,} | {one['seconds']:,} | {one['date']} |")
    uncounted = [name for name in parts() if name not in found]
    return PAGE.format(
        lines="\n".join(lines),
        rest=f"Not complete yet: {', '.join(uncounted)}.\n\n" if uncounted else "",
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count(),
        capability=torch.backends.cpu.get_cpu_capability(),
    )


if __name__ == "__main__":
    main()

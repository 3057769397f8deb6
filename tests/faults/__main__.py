"""Run the fault tests with many repetitions, and write docs/reliability.md.

    python -m tests.faults [--output docs/reliability.md] [--only NAME …]

The counts of each part are kept in benchmarks/results/reliability.json, so that parts can be run separately.
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

from benchmarks.tables import commit
from tests.faults import (
    attacks,
    batch_dependence,
    damage,
    endurance,
    invalid_input,
    kills,
    long_texts,
    non_finite,
    resume,
    resume_faults,
    serving,
    signals,
    world_size,
)
from tests.faults.harness import FaultCount

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "reliability.json"
Part = Callable[[Path], FaultCount]
PARALLEL = 2
"""Single-process runs at the same time."""


def parts() -> dict[str, Part]:
    """Return the parts by name, in the order of the page."""
    return {
        "resume": lambda scratch: resume.each_pair(scratch, parallel=PARALLEL),
        "resume-all": lambda scratch: resume.all_settings(scratch, parallel=PARALLEL),
        "resume-sharded": resume.sharded,
        "kill-at-random": lambda scratch: kills.at_random(scratch, repetitions=200, finished=20),
        "kill-at-points": kills.at_points,
        "kill-resumed": resume_faults.killed,
        "resume-other-data": resume_faults.other_data,
        "damage": lambda scratch: damage.mutations(scratch, repetitions=500, resumed=18),
        "all-damaged": damage.all_damaged,
        "full-disk": lambda scratch: damage.full_disk(scratch, repetitions=20),
        "signals": lambda scratch: signals.stop(scratch, repetitions=50),
        "restarted": lambda scratch: signals.restart(scratch, repetitions=20),
        "processes": world_size.change,
        "non-finite": non_finite.stop,
        "skipped-steps": non_finite.skip,
        "memory": non_finite.out_of_memory,
        "rows-handwritten": invalid_input.handwritten_rows,
        "rows-random": lambda scratch: invalid_input.random_rows(scratch, repetitions=10_000),
        "configs": lambda scratch: invalid_input.configs(scratch, repetitions=10_000),
        "pickles": attacks.pickles,
        "remote-code": attacks.remote_code,
        "names": attacks.names,
        "links": attacks.links,
        "secret": attacks.tokens,
        "slow-clients": lambda scratch: serving.slow_clients(scratch, connections=1100),
        "panics": lambda scratch: serving.panics(scratch, requests=1000),
        "long-texts": long_texts.memory,
        "batches": batch_dependence.batches,
        "steps": lambda scratch: endurance.steps(scratch, steps=10_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DOCS / "reliability.md")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"parts to run (default: all): {', '.join(parts())}")
    arguments = parser.parse_args()
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    torch.set_num_threads(1)
    functions = parts()
    for name in arguments.only or functions:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["NLPMTL_CACHE"] = str(Path(scratch) / "cache")
            start = time.perf_counter()
            count = functions[name](Path(scratch))
            results = _read_results()  # another process may have written parts in the meantime
            results[name] = {
                "what": count.description,
                "tried": count.attempts,
                "wrong": count.failures,
                "seconds": round(time.perf_counter() - start),
                "date": date.today().isoformat(),
                "commit": commit(),
                "environment": environment(),
            }
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{name}: {count} ({results[name]['seconds']} s)", flush=True)
            for line in count.failures[:5]:
                print(f"  {line}", file=sys.stderr)
            # The result is written first: removing the files of thousands of runs takes minutes.
    results = _read_results()
    results = {name: results[name] for name in functions if name in results}
    arguments.output.write_text(page(results), encoding="utf-8")
    sys.exit(any(result["wrong"] for result in results.values()))


def _read_results() -> dict[str, Any]:
    """Return the counts of earlier runs by part."""
    counts: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return counts


PAGE = """# Reliability

These fault-injection tests check that no run, model or request is lost, with real processes, signals and files and a randomly initialised two-layer
encoder. This command runs them and writes this page, {hours:.1f} hours in total; to run a single part: `python -m tests.faults --only NAME`.

<!-- not run: takes {hours:.1f} hours -->
```console
$ make faults
```

| part | fault and expected behaviour | passed | seconds | date, commit |
|---|---|---|---|---|
{lines}

{rest}One thread per process. Where the parts ran:

{environments}
"""  # noqa: E501


def environment() -> str:
    """Return the versions and the processor of this process."""
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
    )


def page(counts: dict[str, Any]) -> str:
    """Return the page of the documentation for counts by part."""
    lines = []
    environments: dict[str, list[str]] = {}
    for name, count in counts.items():
        environments.setdefault(count.get("environment", "not recorded"), []).append(name)
        passed = count["tried"] - len(count["wrong"])
        figures = f"{passed:,} of {count['tried']:,} | {count['seconds']:,}"
        counted = ", ".join(count[key] for key in ("date", "commit") if key in count)
        lines.append(f"| {name} | {count['what']} | {figures} | {counted} |")
    uncounted = [name for name in parts() if name not in counts]
    return PAGE.format(
        lines="\n".join(lines),
        rest=f"Not complete yet: {', '.join(uncounted)}.\n\n" if uncounted else "",
        hours=sum(count["seconds"] for count in counts.values()) / 3600,
        environments="\n".join(f"- {where}: {', '.join(names)}." for where, names in environments.items()),
    )


if __name__ == "__main__":
    main()

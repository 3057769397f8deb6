"""What weightings cost, and whether two processes weigh as one does.

    python -m benchmarks.gradient_methods [cost] [joint] [solvers] [processes] [--output FILE.md]

Cost: a step of MiniLM-L6 on 32 rows of 10 to 26 words, of 2, 4 and 8 tasks, beside that of `constant`, in turns. Each
task has rows of its own; joint: every row is labelled for all eight. All gradient methods take the same
gradients, so one of them stands for all; what is their own is in the next part.

Solvers: the time of finding the weights of a step from its Gramian.

Processes: twenty steps of a tiny encoder without dropout, all kinds of task among the rows, by one process and by two;
the largest difference of a weight.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling import PRETRAINED, dataset, run_of, write_rows
from benchmarks.steps import take_steps
from benchmarks.tables import facts, median_spread
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import GradientMethod, StepObservation, Weighting
from tests.faults.harness import play_all, small_run
from tests.tiny import apart, checkpoint

TASKS = (2, 4, 8)
STEPS = 10
ROUNDS = 2
TIMES = 30
TWENTY = 20


KINDS = ("constant", "geometric", "famo", "upgrad")
"""Nothing is looked at; the losses, by a forward; the losses, before and after; a gradient for each task."""


def member(name: str) -> type[Weighting]:
    found = WEIGHTINGS.get(name)
    assert issubclass(found, Weighting)
    return found


def cost(scratch: Path) -> Iterator[str]:
    lines = _lines(scratch)
    yield from _beside(scratch, {f"{many} tasks": _apart(scratch, lines, many) for many in TASKS})


def joint(scratch: Path) -> Iterator[str]:
    _lines(scratch)
    rows = dataset(str(scratch / "rows.jsonl"), tasks=[f"t{i}" for i in range(max(TASKS))])
    yield from _beside(scratch, {f"{max(TASKS)} tasks on every row": {"d": rows}})


def _lines(scratch: Path) -> list[str]:
    path = write_rows(scratch / "rows.jsonl", 4096, words=(10, 26), tasks=max(TASKS))
    return Path(path).read_text(encoding="utf-8").splitlines(keepends=True)


def _beside(scratch: Path, layouts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A row for each weighting: what a step costs beside that of the plain sum, in turns."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(ROUNDS):
        for layout, datasets in layouts.items():
            for kind in KINDS:
                run = {**run_of(scratch, PRETRAINED, datasets), "weighting": {"kind": kind}}
                one = take_steps(run, steps=STEPS, cache=scratch / "cache")
                found.setdefault((kind, layout), []).append(one)
    yield f"| weighting | {' | '.join(layouts)} | MiB |"
    yield f"|---|{'---|' * (len(layouts) + 1)}"
    for kind in KINDS:
        cells = []
        for layout in layouts:
            plain, own = ([one["step ms"] for one in found[name, layout]] for name in ("constant", kind))
            ratios = [b / a for a, b in zip(plain, own, strict=True)]
            cells.append(f"{statistics.median(plain):.0f} ms" if kind == "constant" else median_spread(ratios, 2))
        memory = max(one["MiB with training"] for (name, _), all_of in found.items() if name == kind for one in all_of)
        yield f"| `{kind}` | {' | '.join(cells)} | {memory:.0f} |"
    yield ""
    rounds = f"{ROUNDS} rounds of {STEPS} steps (least to most)"
    yield f"Medians of {rounds}; what is above 1 is what a step costs more than with `constant`."


def _apart(scratch: Path, lines: list[str], many: int) -> dict[str, Any]:
    made = {}
    for i in range(many):
        own = scratch / f"{many}-{i}.jsonl"
        own.write_text("".join(lines[i::many]), encoding="utf-8")
        made[f"d{i}"] = dataset(str(own), tasks=[f"t{i}"])
    return made


def solvers(_: Path) -> Iterator[str]:
    yield f"| gradient method | {' | '.join(f'{many} tasks, ms' for many in TASKS)} |"
    yield f"|---|{'---|' * len(TASKS)}"
    for kind in (name for name in WEIGHTINGS.names() if issubclass(member(name), GradientMethod)):
        cells = []
        for many in TASKS:
            tasks = [f"t{i}" for i in range(many)]
            own = WEIGHTINGS.build(WEIGHTINGS.parse({"kind": kind}), Weighting, tasks=tasks, epoch_steps=1, seed=0)
            source, times = np.random.default_rng(0), []
            for step in range(TIMES):
                jacobian = source.standard_normal((many, 100)) + source.standard_normal(100)
                seen = StepObservation(
                    step, dict.fromkeys(tasks, 1 / many), dict.fromkeys(tasks, 1.0), jacobian @ jacobian.T
                )
                start = time.perf_counter()
                own.compute_weights(seen)
                times.append(1e3 * (time.perf_counter() - start))
            cells.append(f"{statistics.median(times):.1f}")
        yield f"| `{kind}` | {' | '.join(cells)} |"


def processes(scratch: Path) -> Iterator[str]:
    yield "| weighting | largest difference of a weight, single precision | double precision |"
    yield "|---|---|---|"
    rates = {"lr": 1e-4, "save_every": TWENTY}
    base = {p: small_run(scratch / p, dropout=0.0, steps=TWENTY, train={**rates, "precision": p}) for p in _PRECISIONS}
    kinds = WEIGHTINGS.names()
    for world in (1, 2):
        jobs = [
            {"run": {**base[p], "weighting": {"kind": kind}}, "output": str(scratch / f"{p}-{kind}-{world}")}
            for p in _PRECISIONS
            for kind in kinds
        ]
        play_all([{**job, "resume": False} for job in jobs], processes=world, scratch=scratch)
    for kind in kinds:
        cells = []
        for p in _PRECISIONS:
            one, two = (checkpoint(scratch / f"{p}-{kind}-{world}", TWENTY) for world in (1, 2))
            cells.append(f"{apart(one, two):.1e}")
        mark = " (gradient method)" if issubclass(member(kind), GradientMethod) else ""
        yield f"| `{kind}`{mark} | {' | '.join(cells)} |"


_PRECISIONS = ("fp32", "fp64")
PARTS = {"cost": cost, "joint": joint, "solvers": solvers, "processes": processes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; left out: all")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    lines = ["# What weightings cost, and several processes", ""]
    for part in asked.parts or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            for line in PARTS[part](Path(scratch)):
                print(line, flush=True)
                lines.append(line)
        lines.append("")
    lines += facts(" ".join(["benchmarks.gradient_methods", *asked.parts]), "torchjd")
    if asked.output:
        asked.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Cost of the weightings, and equality of one and two processes.

    python -m benchmarks.gradient_methods [cost] [joint] [solvers] [processes] [--output FILE.md]

Cost: a step of MiniLM-L6 on 32 rows of 10 to 26 words, with 2, 4 and 8 tasks, relative to `constant`, interleaved. Each
row is labelled for one task; joint: every row is labelled for all eight. All gradient methods take the same gradients,
so one of them represents all; their solvers are measured separately.

Solvers: the time to compute the task weights from the Gramian.

Processes: twenty steps of a tiny encoder without dropout, with five task types among the rows, by one process and by
two; the largest difference of a parameter.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling import PRETRAINED, dataset, run_of, write_rows
from benchmarks.steps import take_steps
from benchmarks.tables import facts, make_parser, median_spread, run_parts, write_report
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import GradientMethod, StepObservation, Weighting
from tests.faults.harness import small_run, train_all
from tests.tiny import checkpoint, max_weight_difference

TASKS = (2, 4, 8)
STEPS = 10
ROUNDS = 2
TIMES = 30
TWENTY = 20


KINDS = ("constant", "geometric", "famo", "upgrad")
"""A weighting without extra passes; with one and with two extra forwards; with one gradient per task."""


def member(name: str) -> type[Weighting]:
    weighting = WEIGHTINGS.get(name)
    assert issubclass(weighting, Weighting)
    return weighting


def cost(scratch: Path) -> Iterator[str]:
    lines = _lines(scratch)
    yield from _compare_steps(
        scratch, {f"{task_count} tasks": _separate_datasets(scratch, lines, task_count) for task_count in TASKS}
    )


def joint(scratch: Path) -> Iterator[str]:
    _lines(scratch)
    rows = dataset(str(scratch / "rows.jsonl"), tasks=[f"t{i}" for i in range(max(TASKS))])
    yield from _compare_steps(scratch, {f"{max(TASKS)} tasks on every row": {"d": rows}})


def _lines(scratch: Path) -> list[str]:
    path = write_rows(scratch / "rows.jsonl", 4096, words=(10, 26), tasks=max(TASKS))
    return Path(path).read_text(encoding="utf-8").splitlines(keepends=True)


def _compare_steps(scratch: Path, layouts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield one row per weighting: the cost of a step relative to `constant`."""
    timings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(ROUNDS):
        for layout, datasets in layouts.items():
            for kind in KINDS:
                run = {**run_of(scratch, PRETRAINED, datasets), "weighting": {"kind": kind}}
                timing = take_steps(run, steps=STEPS, cache=scratch / "cache")
                timings.setdefault((kind, layout), []).append(timing)
    yield f"| weighting | {' | '.join(layouts)} | MiB |"
    yield f"|---|{'---|' * (len(layouts) + 1)}"
    for kind in KINDS:
        cells = []
        for layout in layouts:
            plain, weighted = ([timing["step ms"] for timing in timings[name, layout]] for name in ("constant", kind))
            ratios = [b / a for a, b in zip(plain, weighted, strict=True)]
            cells.append(f"{statistics.median(plain):.0f} ms" if kind == "constant" else median_spread(ratios, 2))
        memory = max(t["MiB with training"] for (name, _), ts in timings.items() if name == kind for t in ts)
        yield f"| `{kind}` | {' | '.join(cells)} | {memory:.0f} |"
    yield ""
    yield f"Medians of {ROUNDS} rounds of {STEPS} steps (minimum to maximum), relative to a step with `constant`."


def _separate_datasets(scratch: Path, lines: list[str], task_count: int) -> dict[str, Any]:
    datasets = {}
    for i in range(task_count):
        path = scratch / f"{task_count}-{i}.jsonl"
        path.write_text("".join(lines[i::task_count]), encoding="utf-8")
        datasets[f"d{i}"] = dataset(str(path), tasks=[f"t{i}"])
    return datasets


def solvers(_: Path) -> Iterator[str]:
    yield f"| gradient method | {' | '.join(f'{task_count} tasks, ms' for task_count in TASKS)} |"
    yield f"|---|{'---|' * len(TASKS)}"
    for kind in (name for name in WEIGHTINGS.names() if issubclass(member(name), GradientMethod)):
        cells = []
        for task_count in TASKS:
            tasks = [f"t{i}" for i in range(task_count)]
            weighting = WEIGHTINGS.build(
                WEIGHTINGS.parse({"kind": kind}), Weighting, tasks=tasks, epoch_steps=1, seed=0
            )
            generator, times = np.random.default_rng(0), []
            for step in range(TIMES):
                jacobian = generator.standard_normal((task_count, 100)) + generator.standard_normal(100)
                observation = StepObservation(
                    step, dict.fromkeys(tasks, 1 / task_count), dict.fromkeys(tasks, 1.0), jacobian @ jacobian.T
                )
                start = time.perf_counter()
                weighting.compute_weights(observation)
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
        train_all([{**job, "resume": False} for job in jobs], processes=world, scratch=scratch)
    for kind in kinds:
        cells = []
        for p in _PRECISIONS:
            single, double = (checkpoint(scratch / f"{p}-{kind}-{world}", TWENTY) for world in (1, 2))
            cells.append(f"{max_weight_difference(single, double):.1e}")
        mark = " (gradient method)" if issubclass(member(kind), GradientMethod) else ""
        yield f"| `{kind}`{mark} | {' | '.join(cells)} |"


_PRECISIONS = ("fp32", "fp64")
PARTS = {"cost": cost, "joint": joint, "solvers": solvers, "processes": processes}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    args = parser.parse_args()

    def run(part: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as scratch:
            yield from PARTS[part](Path(scratch))

    lines = ["# Cost of weightings, and several processes", "", *run_parts(args.parts or PARTS, run)]
    lines += facts(" ".join(["benchmarks.gradient_methods", *args.parts]), "torchjd")
    write_report(lines, args.output, echo=False)


if __name__ == "__main__":
    main()

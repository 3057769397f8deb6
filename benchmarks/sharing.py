"""Gain of a small task from a large related one, by sharing scheme: 500 rows of RTE with SNLI, several seeds.

    python -m benchmarks.sharing DATA_DIR [--rte 500] [--steps 600] [--seeds 3] [--only NAME …] [--output DIR]
        [--table FILE.md]

MiniLM-L6, 32 rows per step; datasets are drawn in proportion to the square root of their size, so one row in nine is
RTE's. Baselines: each task trained separately on as many rows as the multi-task run draws of it, and RTE also for ten
epochs. RTE has few validation rows, so its train rows that no run trains on are scored too. No checkpoint selection:
scores are those of the last step. Finished runs with the same --rte and --steps are not repeated. Step times are
measured at the end, in short interleaved runs of every scheme; nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import shlex
import shutil
import statistics
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nlpmtl
from benchmarks.same_scores import read_eleven
from benchmarks.steps import take_steps
from benchmarks.tables import facts, mean_spread, write_report
from nlpmtl.hub import load_model
from nlpmtl.model import estimate_cost

CONFIGS = Path(__file__).resolve().parents[1] / "task_configs"
RTE, SNLI = 500, 30_000
"""Train rows."""
SCORED = {"rte": "rte", "rte, held-out train rows": "rte-left-over", "snli": "snli"}
"""Columns of the table, and the files in the output directory with their rows."""
BATCH = 32
TEMPERATURE = 2.0
PASSES = 10
HALF = 3  # of MiniLM's six layers
ROUNDS, TIMED = 3, 30
"""Rounds of the time measurements, and steps per round."""
FROZEN = {"lr": 1e-3}  # a higher rate for newly initialised adapters in a frozen encoder
SCHEMES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hard": ({"kind": "hard"}, {}),
    "layers": ({"kind": "layers", "shared": HALF}, {}),
    "soft_l2": ({"kind": "soft_l2", "shared": HALF, "strength": 0.01}, {}),
    "cross_stitch": ({"kind": "cross_stitch", "shared": HALF}, {}),
    "lora": ({"kind": "lora", "rank": 8, "task_rank": 4}, FROZEN),
    "adapters": ({"kind": "adapters", "form": "bottleneck", "size": 64}, FROZEN),
    "hard, covariance": ({"kind": "hard", "relations": "covariance"}, {}),
}
"""The `[sharing]` table of each scheme, and its changes of `[train]`."""


def write_rows(data: Path, directory: Path, *, trained: Mapping[str, int]) -> None:
    """Write train and validation rows of both tasks, and the train rows that are not trained on."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, count in trained.items():
        train, validation = (read_lines(data / name / f"{split}.jsonl.gz") for split in ("train", "validation"))
        random.Random(0).shuffle(train)
        (directory / f"{name}-train.jsonl").write_text("".join(train[:count]), encoding="utf-8")
        (directory / f"{name}.jsonl").write_text("".join(validation), encoding="utf-8")
        if left := train[count:]:
            (directory / f"{name}-left-over.jsonl").write_text("".join(left), encoding="utf-8")


def read_lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(file)


def dataset(name: str, **files: Path) -> dict[str, Any]:
    return {
        "extends": str(CONFIGS / f"{name}.toml"),
        "data": {"files": {split: str(path) for split, path in files.items()}},
        "input": {"text": "sentence1", "pair": "sentence2"},
    }


def run_of(rows: Path, tasks: Iterable[str], *, steps: int, seed: int, scheme: str = "hard") -> dict[str, Any]:
    sharing, train = SCHEMES[scheme]
    return {
        "seed": seed,
        "encoder": read_eleven()["encoder"],
        "datasets": {name: dataset(name, train=rows / f"{name}-train.jsonl") for name in tasks},
        "sampling": {"kind": "temperature", "temperature": TEMPERATURE},
        "sharing": sharing,
        "train": {"steps": steps, "batch_size": BATCH, "lr": 2e-4, "head_lr": 1e-3, "save_every": steps, **train},
    }


def runs(rows: Path, *, trained: Mapping[str, int], steps: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the runs of a seed by their name in the table."""
    sizes = {name: count ** (1 / TEMPERATURE) for name, count in trained.items()}
    rte_fraction = sizes["rte"] / sum(sizes.values())
    for scheme in SCHEMES:
        yield scheme, run_of(rows, trained, steps=steps, seed=seed, scheme=scheme)
    yield "rte only, as many rows", run_of(rows, ["rte"], steps=round(steps * rte_fraction), seed=seed)
    passes = math.ceil(PASSES * trained["rte"] / BATCH)
    yield f"rte only, {PASSES} epochs", run_of(rows, ["rte"], steps=passes, seed=seed)
    yield "snli only, as many rows", run_of(rows, ["snli"], steps=round(steps * (1 - rte_fraction)), seed=seed)


def run_once(run: dict[str, Any], output: Path, *, rows: Path) -> dict[str, Any]:
    """Train and score a run unless it is finished; return its scores and parameter counts."""
    summary = output / "summary.json"
    if not summary.exists():
        resume = (output / "checkpoints").exists()
        directory = nlpmtl.train(run, output=output, resume=resume).model_dir
        model, _ = load_model(str(directory))
        cost = estimate_cost(model, tasks_per_row=1)
        scores = {}
        for column, file in SCORED.items():
            task = column.partition(",")[0]
            if task in model.tasks and (rows / f"{file}.jsonl").exists():
                scored = {**run, "datasets": {task: dataset(task, validation=rows / f"{file}.jsonl")}}
                scores[column] = nlpmtl.evaluate(directory, scored).tasks[task]["score"]
        result = {"scores": scores, "shared": cost.shared_parameters, "own": max(cost.task_parameters.values())}
        summary.write_text(json.dumps(result), encoding="utf-8")
        for name in ("checkpoints", "best", "model"):
            shutil.rmtree(output / name, ignore_errors=True)
    read: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return read


def times(rows: Path, *, schemes: Collection[str]) -> dict[str, list[float]]:
    """Measure the milliseconds of a step with hard sharing and with each of the schemes, in rounds."""
    runs = {
        scheme: run_of(rows, ["rte", "snli"], steps=TIMED, seed=1, scheme=scheme)
        for scheme in SCHEMES
        if scheme == "hard" or scheme in schemes
    }
    with tempfile.TemporaryDirectory() as cache:
        rounds = [
            {scheme: take_steps(run, steps=TIMED, cache=Path(cache))["step ms"] for scheme, run in runs.items()}
            for _ in range(ROUNDS)
        ]
    return {scheme: [times[scheme] for times in rounds] for scheme in runs}


def output_directory(directory: Path, *, rte: int, steps: int) -> Path:
    """Return the directory of the rows and runs with these settings."""
    return directory / f"rte-{rte}-steps-{steps}"


def table(results: dict[str, list[dict[str, Any]]], step_times: dict[str, list[float]]) -> Iterator[str]:
    yield f"| | {' | '.join(SCORED)} | million parameters, shared | per task | step time / hard |"
    yield f"|---|{'---|' * len(SCORED)}---|---|---|"
    for name, seeds in results.items():
        first = seeds[0]
        cells = [mean_spread([s["scores"][c] for s in seeds], 4) if c in first["scores"] else "" for c in SCORED]
        cells += [f"{first[key] / 1e6:.2f}" for key in ("shared", "own")]
        yield f"| {name} | {' | '.join([*cells, step_cost(name, step_times)])} |"


def step_cost(name: str, step_times: dict[str, list[float]]) -> str:
    """Return the step time relative to hard sharing, or nothing for a single-task run."""
    if name == "hard":
        return f"{statistics.mean(step_times[name]):.0f} ms"
    if name not in step_times:
        return ""
    return mean_spread([time / hard for time, hard in zip(step_times[name], step_times["hard"], strict=True)], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rte", type=int, default=RTE, help="train rows of RTE")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="runs by their name in the table (default: all)")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-sharing"))
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    directory = output_directory(args.output, rte=args.rte, steps=args.steps)
    rows = (directory / "rows").resolve()
    trained = {"rte": args.rte, "snli": SNLI}
    write_rows(args.data, rows, trained=trained)
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in range(1, args.seeds + 1):
        available = dict(runs(rows, trained=trained, steps=args.steps, seed=seed))
        for name in args.only or available:
            output = directory / f"seed-{seed}" / name.replace(", ", "-").replace(" ", "-")
            result = run_once(available[name], output, rows=rows)
            results.setdefault(name, []).append(result)
            print(f"seed {seed}, {name}: {result['scores']}", flush=True)
    command = ["benchmarks.sharing", "DATA", f"--rte={args.rte}", f"--steps={args.steps}", f"--seeds={args.seeds}"]
    command += ["--only", *args.only] if args.only else []
    files = [path for name in SCORED.values() if (path := rows / f"{name}.jsonl").exists()]
    counts = [path.read_text(encoding="utf-8").count("\n") for path in files]
    report = [
        f"RTE, {args.rte:,} train rows, with SNLI, {SNLI:,}: {args.steps:,} steps of {BATCH} rows, "
        f"accuracy on {', '.join(f'{count:,}' for count in counts)} rows, mean and standard deviation of "
        f"{args.seeds} seeds.",
        "",
        *table(results, times(rows, schemes=results)),
        "",
        *facts(shlex.join(command)),
    ]
    write_report(report, args.table)


if __name__ == "__main__":
    main()

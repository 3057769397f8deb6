"""What each way of sharing is worth to a small task beside a large relative: 500 rows of RTE with SNLI, over seeds.

    python -m benchmarks.sharing DATA_DIR [--rte 500] [--steps 600] [--seeds 3] [--only NAME …] [--output DIR]
        [--table FILE.md]

MiniLM-L6, 32 rows a step; the mixture draws by size to the power of 1 / 2, so that RTE is a ninth of it. Beside it each
task is trained alone: on as many rows as the mixture takes of it, and RTE also for ten passes. RTE's validation rows
are few, so that its train rows that no run trains on are scored too. No evaluation chooses a model: scores are of the
last step. What is in the output directory already is not trained again. How long a step takes is measured at the end,
in short runs of every way in turns, on a machine that does nothing else.
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
from benchmarks.tables import facts, mean_spread
from nlpmtl.hub import load_model
from nlpmtl.model import estimate_cost

CONFIGS = Path(__file__).resolve().parents[1] / "task_configs"
RTE, SNLI = 500, 30_000
"""Train rows."""
SCORED = {"rte": "rte", "rte, left over": "rte-left-over", "snli": "snli"}
"""Columns of the table, and the files in the output directory that hold their rows."""
BATCH = 32
TEMPERATURE = 2.0
PASSES = 10
HALF = 3  # of MiniLM's six layers
ROUNDS, TIMED = 3, 30
"""Of the measurements of time, and steps in each."""
FROZEN = {"lr": 1e-3}  # where the encoder stays as it is, what is trained starts at nothing
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hard": ({"kind": "hard"}, {}),
    "layers": ({"kind": "layers", "shared": HALF}, {}),
    "soft_l2": ({"kind": "soft_l2", "shared": HALF, "strength": 0.01}, {}),
    "cross_stitch": ({"kind": "cross_stitch", "shared": HALF}, {}),
    "lora": ({"kind": "lora", "rank": 8, "task_rank": 4}, FROZEN),
    "adapters": ({"kind": "adapters", "form": "bottleneck", "size": 64}, FROZEN),
    "hard, covariance": ({"kind": "hard", "relations": "covariance"}, {}),
}
"""The `[sharing]` table of each way, and what differs in `[train]`."""


def write_rows(data: Path, directory: Path, *, trained: Mapping[str, int]) -> None:
    """Train and validation rows of both tasks, and of RTE the train rows that are left over."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, many in trained.items():
        train, validation = (read_lines(data / name / f"{split}.jsonl.gz") for split in ("train", "validation"))
        random.Random(0).shuffle(train)
        (directory / f"{name}-train.jsonl").write_text("".join(train[:many]), encoding="utf-8")
        (directory / f"{name}.jsonl").write_text("".join(validation), encoding="utf-8")
        if left := train[many:]:
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


def run_of(rows: Path, tasks: Iterable[str], *, steps: int, seed: int, way: str = "hard") -> dict[str, Any]:
    sharing, train = WAYS[way]
    return {
        "seed": seed,
        "encoder": read_eleven()["encoder"],
        "datasets": {name: dataset(name, train=rows / f"{name}-train.jsonl") for name in tasks},
        "sampling": {"kind": "temperature", "temperature": TEMPERATURE},
        "sharing": sharing,
        "train": {"steps": steps, "batch_size": BATCH, "lr": 2e-4, "head_lr": 1e-3, "save_every": steps, **train},
    }


def runs(rows: Path, *, trained: Mapping[str, int], steps: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The runs of a seed by what they are called in the table."""
    sizes = {name: many ** (1 / TEMPERATURE) for name, many in trained.items()}
    share = sizes["rte"] / sum(sizes.values())
    for way in WAYS:
        yield way, run_of(rows, trained, steps=steps, seed=seed, way=way)
    yield "rte alone, as many rows", run_of(rows, ["rte"], steps=round(steps * share), seed=seed)
    passes = math.ceil(PASSES * trained["rte"] / BATCH)
    yield f"rte alone, {PASSES} passes", run_of(rows, ["rte"], steps=passes, seed=seed)
    yield "snli alone, as many rows", run_of(rows, ["snli"], steps=round(steps * (1 - share)), seed=seed)


def result(run: dict[str, Any], place: Path, *, rows: Path) -> dict[str, Any]:
    """What a run came to, once it is made: scores and parameters."""
    summary = place / "summary.json"
    if not summary.exists():
        resume = (place / "checkpoints").exists()
        directory = nlpmtl.train(run, output=place, resume=resume).model_dir
        model, _ = load_model(str(directory))
        cost = estimate_cost(model, tasks_per_row=1)
        scores = {}
        for column, file in SCORED.items():
            task = column.partition(",")[0]
            if task in model.tasks and (rows / f"{file}.jsonl").exists():
                scored = {**run, "datasets": {task: dataset(task, validation=rows / f"{file}.jsonl")}}
                scores[column] = nlpmtl.evaluate(directory, scored).tasks[task]["score"]
        found = {"scores": scores, "shared": cost.shared_parameters, "own": max(cost.task_parameters.values())}
        summary.write_text(json.dumps(found), encoding="utf-8")
        for made in ("checkpoints", "best", "model"):
            shutil.rmtree(place / made, ignore_errors=True)
    read: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return read


def times(rows: Path, *, ways: Collection[str]) -> dict[str, list[float]]:
    """Milliseconds that a step of hard sharing takes, and one of each of the ways, in rounds."""
    runs = {
        way: run_of(rows, ["rte", "snli"], steps=TIMED, seed=1, way=way) for way in WAYS if way == "hard" or way in ways
    }
    with tempfile.TemporaryDirectory() as cache:
        rounds = [
            {way: take_steps(run, steps=TIMED, cache=Path(cache))["step ms"] for way, run in runs.items()}
            for _ in range(ROUNDS)
        ]
    return {way: [one[way] for one in rounds] for way in runs}


def table(found: dict[str, list[dict[str, Any]]], took: dict[str, list[float]]) -> Iterator[str]:
    yield f"| | {' | '.join(SCORED)} | million parameters, shared | of each task's own | a step / hard's |"
    yield f"|---|{'---|' * len(SCORED)}---|---|---|"
    for name, seeds in found.items():
        first = seeds[0]
        cells = [mean_spread([one["scores"][of] for one in seeds], 4) if of in first["scores"] else "" for of in SCORED]
        cells += [f"{first[key] / 1e6:.2f}" for key in ("shared", "own")]
        yield f"| {name} | {' | '.join([*cells, step_cost(name, took)])} |"


def step_cost(name: str, took: dict[str, list[float]]) -> str:
    """Of a step beside that of hard sharing; nothing of a task alone."""
    if name == "hard":
        return f"{statistics.mean(took[name]):.0f} ms"
    if name not in took:
        return ""
    return mean_spread([own / plain for own, plain in zip(took[name], took["hard"], strict=True)], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rte", type=int, default=RTE, help="train rows of RTE")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="runs, as the table calls them; left out: all")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-sharing"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = (asked.output / "rows").resolve()
    trained = {"rte": asked.rte, "snli": SNLI}
    write_rows(asked.data, rows, trained=trained)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(1, asked.seeds + 1):
        known = dict(runs(rows, trained=trained, steps=asked.steps, seed=seed))
        for name in asked.only or known:
            place = asked.output / f"seed-{seed}" / name.replace(", ", "-").replace(" ", "-")
            one = result(known[name], place, rows=rows)
            found.setdefault(name, []).append(one)
            print(f"seed {seed}, {name}: {one['scores']}", flush=True)
    command = ["benchmarks.sharing", "DATA", f"--rte={asked.rte}", f"--steps={asked.steps}", f"--seeds={asked.seeds}"]
    command += ["--only", *asked.only] if asked.only else []
    files = [path for name in SCORED.values() if (path := rows / f"{name}.jsonl").exists()]
    counts = [path.read_text(encoding="utf-8").count("\n") for path in files]
    text = "\n".join(
        [
            f"RTE, {asked.rte:,} train rows, with SNLI, {SNLI:,}: {asked.steps:,} steps of {BATCH} rows, "
            f"accuracy on {', '.join(f'{many:,}' for many in counts)} rows, mean and standard deviation of "
            f"{asked.seeds} seeds.",
            "",
            *table(found, times(rows, ways=found)),
            "",
            *facts(shlex.join(command)),
        ]
    )
    print(text)
    if asked.table:
        asked.table.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What each way of sharing is worth to a small task beside a large relative: 500 rows of RTE with SNLI, over seeds.

    python -m benchmarks.sharing DATA_DIR [--seeds 3] [--steps 300] [--output DIR] [--table FILE.md]

MiniLM-L6, 32 rows a step; the mixture draws by size to the power of 1 / 1.4, so that RTE is an eighth of it. Beside it
each task is trained alone: on as many rows as the mixture takes of it, and RTE also for ten passes. No evaluation
chooses a model: scores are of the last step, on validation. What is in the output directory already is not trained
again. How long a step takes is measured at the end, in short runs of every way in turns, on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import nlpmtl
from benchmarks.same_scores import read_eleven, spread
from benchmarks.steps import take_steps
from nlpmtl.artifact import load_model
from nlpmtl.model import footprint

CONFIGS = Path(__file__).resolve().parents[1] / "task_configs"
ROWS = {"rte": {"train": 500, "validation": 277}, "snli": {"train": 8000, "validation": 1000}}
BATCH = 32
TEMPERATURE = 1.4
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


def run_of(data: Path, tasks: list[str], *, steps: int, seed: int, way: str = "hard") -> dict[str, Any]:
    sharing, train = WAYS[way]
    return {
        "seed": seed,
        "encoder": read_eleven()["encoder"],
        "datasets": {
            name: {
                "use": str(CONFIGS / f"{name}.toml"),
                "data": {"files": {split: str(data / name / f"{split}.jsonl.gz") for split in ("train", "validation")}},
                "input": {"text": "sentence1", "pair": "sentence2"},
                "limit": ROWS[name],
            }
            for name in tasks
        },
        "sampling": {"kind": "temperature", "temperature": TEMPERATURE},
        "sharing": sharing,
        "train": {"steps": steps, "batch_size": BATCH, "lr": 2e-4, "head_lr": 1e-3, "save_every": steps, **train},
        "eval": {"every": steps},
    }


def runs(data: Path, *, steps: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The runs of a seed by what they are called in the table."""
    sizes = {name: rows["train"] ** (1 / TEMPERATURE) for name, rows in ROWS.items()}
    share = sizes["rte"] / sum(sizes.values())
    for way in WAYS:
        yield way, run_of(data, list(ROWS), steps=steps, seed=seed, way=way)
    yield "rte alone, as many rows", run_of(data, ["rte"], steps=round(steps * share), seed=seed)
    passes = math.ceil(PASSES * ROWS["rte"]["train"] / BATCH)
    yield f"rte alone, {PASSES} passes", run_of(data, ["rte"], steps=passes, seed=seed)
    yield "snli alone, as many rows", run_of(data, ["snli"], steps=round(steps * (1 - share)), seed=seed)


def result(run: dict[str, Any], place: Path) -> dict[str, Any]:
    """What a run came to, once it is made: scores and parameters."""
    summary = place / "summary.json"
    if not summary.exists():
        resume = (place / "checkpoints").exists()
        nlpmtl.train(run, output=place, resume=resume)
        model, _ = load_model(str(place / "model"))
        cost = footprint(model, labels=1)
        scores = json.loads((place / "scores.json").read_text(encoding="utf-8"))["tasks"]
        found = {
            "scores": {task: values["score"] for task, values in scores.items()},
            "shared": cost.shared,
            "own": max(cost.own.values()),
        }
        summary.write_text(json.dumps(found), encoding="utf-8")
        for directory in ("checkpoints", "best", "model"):
            shutil.rmtree(place / directory, ignore_errors=True)
    read: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return read


def times(data: Path) -> Iterator[tuple[str, list[float]]]:
    """What a step of each way takes beside one of hard sharing, in rounds."""
    runs = {way: run_of(data, list(ROWS), steps=TIMED, seed=1, way=way) for way in WAYS}
    with tempfile.TemporaryDirectory() as cache:
        rounds = [
            {way: take_steps(run, steps=TIMED, cache=Path(cache))["step ms"] for way, run in runs.items()}
            for _ in range(ROUNDS)
        ]
    for way in WAYS:
        yield way, [one[way] / one["hard"] for one in rounds]


def table(found: dict[str, list[dict[str, Any]]], took: dict[str, list[float]]) -> Iterator[str]:
    yield "| | rte | snli | million parameters, shared | of each task's own | a step / hard's |"
    yield "|---|---|---|---|---|---|"
    for name, seeds in found.items():
        scores = [spread([one["scores"][task] for one in seeds]) if task in seeds[0]["scores"] else "" for task in ROWS]
        sizes = [f"{seeds[0][key] / 1e6:.2f}" for key in ("shared", "own")]
        yield f"| {name} | {' | '.join([*scores, *sizes])} | {spread(took[name], 2) if name in took else ''} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-sharing"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(1, asked.seeds + 1):
        for name, run in runs(asked.data.resolve(), steps=asked.steps, seed=seed):
            one = result(run, asked.output / f"seed-{seed}" / name.replace(", ", "-").replace(" ", "-"))
            found.setdefault(name, []).append(one)
            print(f"seed {seed}, {name}: {one['scores']}", flush=True)
    text = "\n".join(
        [
            f"RTE, {ROWS['rte']['train']} train rows, with SNLI, {ROWS['snli']['train']}: {asked.steps} steps of "
            f"{BATCH} rows, accuracy on {ROWS['rte']['validation']} and {ROWS['snli']['validation']} validation rows, "
            f"mean and standard deviation of {asked.seeds} seeds.",
            "",
            *table(found, dict(times(asked.data.resolve()))),
            "",
            f"- `python -m benchmarks.sharing DATA --seeds {asked.seeds} --steps {asked.steps}`; torch "
            f"{torch.__version__}, CPU with {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} "
            "thread(s).",
        ]
    )
    print(text)
    if asked.table:
        asked.table.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

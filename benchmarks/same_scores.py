"""Scores of packed and padded training: the same runs over several seeds.

    python -m benchmarks.same_scores DATA_DIR [--seeds 3] [--rows 400] [--output FILE.md]

MiniLM-L6 on four datasets of `task_configs/`, at most `--rows` train and as many validation rows of each, two epochs
of 32 rows per step. Packed is the default on a CPU. Padded is `encoder.attn_implementation = "sdpa"`, which computes
micro-batches as transformers does. Tests check that each step has the same rows (`tests/test_build.py`).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import nlpmtl
from benchmarks.tables import facts, make_parser, mean_spread, write_report

DATASETS = ("mrpc", "trec", "sst2_sentences", "snips")
CONFIGS = Path(__file__).resolve().parents[1] / "task_configs"
VARIANTS: dict[str, dict[str, Any]] = {"packed": {}, "padded": {"attn_implementation": "sdpa"}}


def run_of(data: Path, *, seed: int, variant: str, rows: int) -> dict[str, Any]:
    files = {
        name: {split: str(data / name / f"{split}.jsonl.gz") for split in ("train", "validation")} for name in DATASETS
    }
    run = read_eleven()
    return {
        "seed": seed,
        "encoder": {**run["encoder"], **VARIANTS[variant]},
        "datasets": {
            name: {
                **run["datasets"][name],
                "data": {"files": files[name]},
                "limit": {"train": rows, "validation": rows},
            }
            for name in DATASETS
        },
        "train": {"epochs": 2, "batch_size": 32, "lr": 2e-4, "head_lr": 1e-3},
        "eval": {"every": 10_000},
    }


def read_eleven() -> dict[str, Any]:
    """Return the shipped run of eleven tasks, with absolute paths of its dataset files."""
    run = tomllib.loads((CONFIGS / "runs" / "eleven.toml").read_text(encoding="utf-8"))
    for dataset in run["datasets"].values():
        dataset["extends"] = str((CONFIGS / "runs" / dataset["extends"]).resolve())
    return run


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=400)
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    scores: dict[str, dict[str, list[float]]] = {variant: {} for variant in VARIANTS}
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.seeds):
            for variant in VARIANTS:
                start = time.perf_counter()
                run = run_of(args.data.resolve(), seed=seed, variant=variant, rows=args.rows)
                result = nlpmtl.train(run, output=Path(scratch) / f"{variant}-{seed}").scores
                seconds[variant].append(time.perf_counter() - start)
                assert result is not None
                for task, values in result.tasks.items():
                    scores[variant].setdefault(task, []).append(float(values["score"] or 0.0))
                scores[variant].setdefault("mean", []).append(result.mean)
                print(f"seed {seed}, {variant}: {result.mean:.4f}, {seconds[variant][-1]:.0f} s", flush=True)
    lines = ["| score | packed | padded | difference of the means |", "|---|---|---|---|"]
    for task, packed in scores["packed"].items():
        padded = scores["padded"][task]
        difference = statistics.mean(packed) - statistics.mean(padded)
        lines.append(f"| {task} | {mean_spread(packed, 4)} | {mean_spread(padded, 4)} | {difference:+.4f} |")
    report = [
        "# Scores of packed and padded training",
        "",
        f"Validation scores, mean and standard deviation of {args.seeds} seeds, the same for both.",
        "",
        *lines,
        "",
        *facts(f"benchmarks.same_scores DATA --seeds {args.seeds} --rows {args.rows}"),
        f"- Seconds per run, start and end included: packed {mean_spread(seconds['packed'], 0)}, "
        f"padded {mean_spread(seconds['padded'], 0)}.",
    ]
    write_report(report, args.output)


if __name__ == "__main__":
    main()

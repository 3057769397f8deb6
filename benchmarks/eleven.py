"""One multi-task model compared with eleven single-task fine-tunes of the same encoder, as a Markdown table.

    python -m benchmarks.eleven DATA_DIR --output DIR [--probe STEPS]

Runs the stock `Trainer` for each task (`stock_trainer.py`), then `nlpmtl train eleven`; finished fine-tunes in DIR
are not repeated, and an interrupted run of nlpmtl is resumed. With --probe the fine-tunes take only STEPS steps each,
to measure their speed, and have no scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.stock_trainer import TASKS

RUN = Path(__file__).resolve().parents[1] / "task_configs" / "runs" / "eleven.toml"
DATASETS = ("rte", "mrpc", "cola", "stsb", "sst2_sentences", "trec", "banking77", "snips", "wnut17", "ud_ewt")


def fine_tunes(data: Path, output: Path, *, probe: int) -> dict[str, dict[str, Any]]:
    """Fine-tune each task that has no line in the output file; return the line of each task."""
    missing = [name for name in TASKS if name not in read_results(output, probe=probe)]
    if missing:
        script = Path(__file__).with_name("stock_trainer.py")
        command = [sys.executable, str(script), str(data), "--output", str(output), "--probe", str(probe)]
        subprocess.run([*command, "--tasks", *missing], check=True)
    results = read_results(output, probe=probe)
    return {name: results[name] for name in TASKS}


def read_results(path: Path, *, probe: int) -> dict[str, dict[str, Any]]:
    """Return the lines of `stock_trainer.py` by task, none if the file does not exist.

    Raises:
        SystemExit: they were measured with another number of steps.
    """
    if not path.exists():
        return {}
    results = {line["task"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    for name, line in results.items():
        if line.get("probe", 0) != probe:
            expected = f"--probe {probe}" if probe else "no --probe"
            raise SystemExit(
                f"{path}: {name} was measured with --probe {line.get('probe', 0)}, and this run has {expected}: "
                "remove the file, or choose another --output"
            )
    return results


def multi_task(data: Path, output: Path) -> tuple[dict[str, Any], float]:
    """Train all tasks in one model; return the scores and the seconds of the training steps."""
    if not (output / "scores.json").exists():
        files = [
            f"datasets.{name}.data.files.{split}={data / name / f'{split}.jsonl.gz'}"
            for name in DATASETS
            for split in ("train", "validation")
        ]
        sets = [argument for file in files for argument in ("--set", file)]
        command = [sys.executable, "-m", "nlpmtl", "train", str(RUN), "--output", str(output), "--resume"]
        subprocess.run([*command, *sets], check=True)
    steps = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    scores: dict[str, Any] = json.loads((output / "scores.json").read_text(encoding="utf-8"))
    return scores, sum(json.loads(step)["seconds"] for step in steps)


def table(baselines: dict[str, dict[str, Any]], scores: dict[str, Any], seconds: float) -> str:
    lines = ["| task | metric | single-task, stock Trainer | its seconds | multi-task |", "|---|---|---|---|---|"]
    for name, result in baselines.items():
        value = f"{result['score']:.3f}" if "score" in result else "—"
        score = scores["tasks"][name]["score"]
        lines.append(f"| {name} | {result['metric']} | {value} | {result['seconds']:,.0f} | {score:.3f} |")
    known = [result["score"] for result in baselines.values() if "score" in result]
    mean = f"{sum(known) / len(known):.3f}" if len(known) == len(baselines) else "—"
    total = sum(result["seconds"] for result in baselines.values())
    lines.append(f"| **mean, sum** | | **{mean}** | **{total:,.0f}** | **{scores['mean']:.3f}**, {seconds:,.0f} s |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-eleven"))
    parser.add_argument("--probe", type=int, default=0, metavar="STEPS")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    baselines = fine_tunes(args.data, args.output / "single-task.jsonl", probe=args.probe)
    scores, seconds = multi_task(args.data.resolve(), args.output / "multi-task")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}\n")
    print(table(baselines, scores, seconds))


if __name__ == "__main__":
    main()

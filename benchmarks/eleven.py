"""One model of eleven tasks beside eleven separate fine-tunes of the same encoder, as a Markdown table.

    python benchmarks/eleven.py DATA_DIR --output DIR [--probe STEPS]

First the stock `Trainer`, task after task (`stock_trainer.py`), then `nlpmtl train eleven`; what is in DIR already is
not run again. With --probe the fine-tunes only show their pace, in so many steps each, and have no scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

RUN = Path(__file__).resolve().parents[1] / "task_configs" / "runs" / "eleven.toml"
DATASETS = ("rte", "mrpc", "cola", "stsb", "sst2_sentences", "trec", "banking77", "snips", "wnut17", "ud_ewt")


def fine_tunes(data: Path, output: Path, *, probe: int) -> dict[str, dict[str, Any]]:
    if not output.exists():
        script = Path(__file__).with_name("stock_trainer.py")
        command = [sys.executable, str(script), str(data), "--output", str(output), "--probe", str(probe)]
        subprocess.run(command, check=True)
    lines = output.read_text(encoding="utf-8").splitlines()
    return {line["task"]: line for line in map(json.loads, lines)}


def together(data: Path, output: Path) -> tuple[dict[str, Any], float]:
    """The scores, and the seconds of its training steps."""
    if not (output / "scores.json").exists():
        files = [
            f"datasets.{name}.data.files.{split}={data / name / f'{split}.jsonl.gz'}"
            for name in DATASETS
            for split in ("train", "validation")
        ]
        sets = [argument for file in files for argument in ("--set", file)]
        subprocess.run([sys.executable, "-m", "nlpmtl", "train", str(RUN), "--output", str(output), *sets], check=True)
    steps = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    scores: dict[str, Any] = json.loads((output / "scores.json").read_text(encoding="utf-8"))
    return scores, sum(json.loads(step)["seconds"] for step in steps)


def table(alone: dict[str, dict[str, Any]], scores: dict[str, Any], seconds: float) -> str:
    lines = ["| task | metric | stock Trainer, alone | its seconds | one model of all |", "|---|---|---|---|---|"]
    for name, one in alone.items():
        value = f"{one['score']:.3f}" if "score" in one else "—"
        ours = scores["tasks"][name]["score"]
        lines.append(f"| {name} | {one['metric']} | {value} | {one['seconds']:,.0f} | {ours:.3f} |")
    known = [one["score"] for one in alone.values() if "score" in one]
    mean = f"{sum(known) / len(known):.3f}" if len(known) == len(alone) else "—"
    total = sum(one["seconds"] for one in alone.values())
    lines.append(f"| **mean, sum** | | **{mean}** | **{total:,.0f}** | **{scores['mean']:.3f}**, {seconds:,.0f} s |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-eleven"))
    parser.add_argument("--probe", type=int, default=0, metavar="STEPS")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    alone = fine_tunes(args.data, args.output / "alone.jsonl", probe=args.probe)
    scores, seconds = together(args.data.resolve(), args.output / "together")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}\n")
    print(table(alone, scores, seconds))


if __name__ == "__main__":
    main()

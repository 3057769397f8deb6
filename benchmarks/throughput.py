"""Training throughput: eleven tasks in one model beside eleven fine-tunes by the stock Trainer, in turns.

    python benchmarks/throughput.py DATA_DIR [--rounds N] [--steps STEPS] [--output FILE.md]

Real (non-padding) wordpieces per second of training steps, 32 rows a step: forward, backward and optimizer. The stock
Trainer runs each task for some steps, and its pace is that of all steps of all tasks: their wordpieces over the sum of
their seconds. "Tuned" is grouped by length, and in bf16 where the CPU computes in it; "defaults" is neither. nlpmtl
runs `task_configs/runs/eleven.toml` as it is, its first ten steps left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

from benchmarks.eleven import DATASETS, RUN
from nlpmtl.training import resolve_precision

WARM = 10


def stock(data: Path, *, steps: int, options: list[str], work: Path) -> float:
    """Wordpieces a second of the stock Trainer."""
    output = work / "stock.jsonl"
    output.unlink(missing_ok=True)
    script = Path(__file__).with_name("stock_trainer.py")
    command = [sys.executable, str(script), str(data), "--output", str(output), "--probe", str(steps), *options]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    tokens = sum(line["tokens_per_second"] * line["seconds"] for line in lines)
    return float(tokens / sum(line["seconds"] for line in lines))


def own(data: Path, *, steps: int, work: Path, options: list[str]) -> float:
    """Wordpieces a second of one model of all tasks."""
    output = work / f"own-{len(list(work.iterdir()))}"
    given = [
        *(
            f"datasets.{name}.data.files.{split}={data / name / f'{split}.jsonl.gz'}"
            for name in DATASETS
            for split in ("train", "validation")
        ),
        *(f"datasets.{name}.limit={{ validation = 50 }}" for name in DATASETS),
        f"train.steps={WARM + steps}",
        f"eval.every={WARM + steps}",
        *options,
    ]
    sets = [argument for one in given for argument in ("--set", one)]
    command = [sys.executable, "-m", "nlpmtl", "train", str(RUN), "--output", str(output), *sets]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()][WARM:]
    return float(sum(line["tokens"] for line in lines) / sum(line["seconds"] for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="of nlpmtl; the Trainer takes a fifth of them a task")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    data, few = args.data.resolve(), max(3, args.steps // 5)
    tuned = ["--bf16"] if resolve_precision("auto") == "bf16" else []
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for _ in range(args.rounds):
            rates = {
                "nlpmtl": own(data, steps=args.steps, work=work, options=[]),
                'nlpmtl, padded (`encoder.attention = "sdpa"`)': own(
                    data, steps=args.steps, work=work, options=["encoder.attention=sdpa"]
                ),
                "stock Trainer, tuned": stock(data, steps=few, options=tuned, work=work),
                "stock Trainer, defaults": stock(data, steps=few, options=["--random"], work=work),
            }
            for name, rate in rates.items():
                print(f"{name}: {rate:.0f} wordpieces/s", flush=True)
                found.setdefault(name, []).append(rate)
    medians = {name: statistics.median(some) for name, some in found.items()}
    lines = ["| | wordpieces/s, median (least to most) | nlpmtl / it |", "|---|---|---|"]
    for name, all_rates in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["nlpmtl"], all_rates, strict=True))
        lines.append(
            f"| {name} | {medians[name]:,.0f} ({min(all_rates):,.0f} to {max(all_rates):,.0f}) | {ratio:.2f} |"
        )
    text = "\n".join(
        [
            "# Training throughput beside the stock Trainer",
            "",
            *lines,
            "",
            f"- `python -m benchmarks.throughput DATA --rounds {args.rounds} --steps {args.steps}`; "
            f"torch {torch.__version__}, transformers {transformers.__version__}.",
            f"- CPU with {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, "
            f"{resolve_precision('auto')}. MiniLM-L6, eleven tasks of ten datasets, 32 rows a step.",
        ]
    )
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

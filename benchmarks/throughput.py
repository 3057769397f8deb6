"""Training throughput: eleven tasks in one model compared with eleven fine-tunes by the stock Trainer.

    python -m benchmarks.throughput DATA_DIR [--rounds N] [--steps STEPS] [--output FILE.md]

Real (non-padding) tokens per second of training steps, 32 rows per step: forward, backward and optimizer. nlpmtl runs
`task_configs/runs/eleven.toml`, and once more with padded rows. The stock Trainer runs each task for a third as many
steps, with batches evenly spread over an epoch; its speed is that of the eleven runs one after another: all their
tokens over the sum of their seconds. "Tuned" is grouped by length, and in bf16 if the CPU has bf16 arithmetic;
"defaults" is neither. All are interleaved within a round, and ratios are computed within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.eleven import DATASETS, RUN
from benchmarks.steps import take_steps
from benchmarks.tables import facts, make_parser, write_report
from nlpmtl.training import resolve_precision

NLPMTL = "nlpmtl"


def stock(data: Path, *, steps: int, options: list[str], work: Path) -> float:
    """Return tokens/s of the stock Trainer."""
    output = work / "stock.jsonl"
    output.unlink(missing_ok=True)
    script = Path(__file__).with_name("stock_trainer.py")
    command = [sys.executable, str(script), str(data), "--output", str(output), "--probe", str(steps), *options]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    tokens = sum(line["tokens_per_second"] * line["seconds"] for line in lines)
    return float(tokens / sum(line["seconds"] for line in lines))


def multi_task(data: Path, *, steps: int, cache: Path, sets: dict[str, str]) -> float:
    """Return tokens/s of one model of all tasks."""
    files = {f"datasets.{name}.data.files.train": str(data / name / "train.jsonl.gz") for name in DATASETS}
    return float(take_steps(str(RUN), steps=steps, cache=cache, sets={**files, **sets})["tokens/s"])


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=30, help="steps of nlpmtl; the Trainer takes a third as many per task"
    )
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    data, trainer_steps = args.data.resolve(), max(3, args.steps // 3)
    tuned = ["--bf16"] if resolve_precision("auto") == "bf16" else []
    rates_of: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        contenders: dict[str, Callable[[], float]] = {
            NLPMTL: lambda: multi_task(data, steps=args.steps, cache=work, sets={}),
            f"{NLPMTL}, padded": lambda: multi_task(
                data, steps=args.steps, cache=work, sets={"encoder.attn_implementation": "sdpa"}
            ),
            "stock Trainer, tuned": lambda: stock(data, steps=trainer_steps, options=tuned, work=work),
            "stock Trainer, defaults": lambda: stock(data, steps=trainer_steps, options=["--random"], work=work),
        }
        for _ in range(args.rounds):
            for name, measure in contenders.items():
                rate = measure()
                print(f"{name}: {rate:.0f} tokens/s", flush=True)
                rates_of.setdefault(name, []).append(rate)
    medians = {name: statistics.median(rates) for name, rates in rates_of.items()}
    lines = ["| | tokens/s, median (minimum to maximum) | nlpmtl / this |", "|---|---|---|"]
    for name, rates in rates_of.items():
        ratio = statistics.median(a / b for a, b in zip(rates_of[NLPMTL], rates, strict=True))
        lines.append(f"| {name} | {medians[name]:,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) | {ratio:.2f} |")
    report = [
        "# Training throughput compared with the stock Trainer",
        "",
        *lines,
        "",
        *facts(f"benchmarks.throughput DATA --rounds {args.rounds} --steps {args.steps}"),
        f"- {resolve_precision('auto')}; MiniLM-L6, eleven tasks of ten datasets, 32 rows per step.",
    ]
    write_report(report, args.output)


if __name__ == "__main__":
    main()

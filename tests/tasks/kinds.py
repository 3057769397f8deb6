"""One task of every kind, with logits and labels for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import IGNORED, Span, split_words
from nlpmtl.tasks import Task, task_from_config

TEXT = "Ada lives in Turin."
WORDS: list[Span] = split_words(TEXT)
SPECS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ["a", "b", "c"], "pos_label": "b", "metrics": ["f1", "accuracy"], "input": "text"},
    "sentiment": {"labels": ["bad", "so-so", "good"], "metrics": None, "input": "pair"},
    "regression": {"labels": [], "metrics": None, "input": "pair", "target": {"mean": 2.5, "std": 1.5}},
    "multilabel": {"labels": ["x", "y", "z"], "metrics": ["micro_f1"], "input": "text"},
    "labeling": {"labels": ["O", "B-p", "I-p"], "metrics": None, "input": "words", "scheme": "bio"},
}
"""By kind: what is enough to make one."""


def config_of_kind(kind: str, /, **changes: Any) -> dict[str, Any]:
    """A saved task of a kind."""
    return {"kind": kind, **SPECS[kind], **changes}


def make(kind: str, /, **changes: Any) -> Task:
    """A task of a kind."""
    return task_from_config("t", config_of_kind(kind, **changes))


def logits_of(task: Task, *, seed: int = 0, scale: float = 3.0) -> NDArray[np.float32]:
    """Logits of one row, as a task takes them when it answers; one word has no token."""
    shape = (len(WORDS), task.outputs) if task.level == "token" else (task.outputs,)
    logits = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    if task.level == "token":
        logits[1] = np.nan
    return logits


def batch_of(task: Task, *, rows: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, list[int]]:
    """Logits and labels of a part, as a loss takes them, and the items that it counts in each row."""
    generator = torch.Generator().manual_seed(seed)
    if task.level == "token":
        logits = torch.randn(rows, 5, task.outputs, generator=generator)
        labels = torch.randint(task.outputs, (rows, 5), generator=generator)
        labels[:, 0] = labels[1, 3:] = IGNORED
        return logits, labels, (labels != IGNORED).sum(1).tolist()
    logits = torch.randn(rows, task.outputs, generator=generator)
    labels = {
        "class": torch.randint(max(task.outputs, 1), (rows,), generator=generator),
        "number": torch.randn(rows, generator=generator, dtype=torch.float64),
        "set": torch.randint(2, (rows, task.outputs), generator=generator).float(),
    }[task.columns["label"]]
    return logits, labels, [1] * rows

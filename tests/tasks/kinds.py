"""A task of every type, with logits and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import IGNORED, Example, Input, Span, TaskBatch, TokenSequence, split_words
from nlpmtl.evaluation import Predictions
from nlpmtl.tasks import ErrorAnalysis, ExampleOutputs, OutputOptions, Prediction, Task, task_from_config

TEXT = "Ada lives in Turin."
WORDS: list[Span] = split_words(TEXT)
SPECS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ["a", "b", "c"], "pos_label": "b", "metrics": ["f1", "accuracy"], "input": "text"},
    "sentiment": {"labels": ["bad", "so-so", "good"], "metrics": None, "input": "pair"},
    "regression": {"labels": [], "metrics": None, "input": "pair", "target": {"mean": 2.5, "std": 1.5}},
    "multilabel": {"labels": ["x", "y", "z"], "metrics": ["micro_f1"], "input": "text"},
    "labeling": {"labels": ["O", "B-p", "I-p"], "metrics": None, "input": "words", "scheme": "bio"},
}
"""Required options by task type."""


def config_of_kind(kind: str, /, **changes: Any) -> dict[str, Any]:
    """Return the saved config of a task of a type."""
    return {"kind": kind, **SPECS[kind], **changes}


def make(kind: str, /, **changes: Any) -> Task:
    """Return a task of a type."""
    return task_from_config("t", config_of_kind(kind, **changes))


def _outputs(task: Task) -> int:
    assert task.outputs is not None
    return task.outputs


def logits_of(task: Task, *, seed: int = 0, scale: float = 3.0) -> NDArray[np.float32]:
    """Return logits of one row, by word for a task that labels words; one word has no token."""
    shape = (len(WORDS), _outputs(task)) if task.columns["label"] == "tags" else (_outputs(task),)
    logits = np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
    if task.columns["label"] == "tags":
        logits[1] = np.nan
    return logits


def batch_of(task: Task, *, rows: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, list[int]]:
    """Return the outputs and batch of a task for its loss, and the number of items per row."""
    generator = torch.Generator().manual_seed(seed)
    if task.columns["label"] == "tags":
        logits = torch.randn(rows, 5, _outputs(task), generator=generator)
        labels = torch.randint(_outputs(task), (rows, 5), generator=generator)
        labels[:, 0] = labels[1, 3:] = IGNORED
        return logits, labels, (labels != IGNORED).sum(1).tolist()
    logits = torch.randn(rows, _outputs(task), generator=generator)
    labels = {
        "class": torch.randint(max(_outputs(task), 1), (rows,), generator=generator),
        "number": torch.randn(rows, generator=generator, dtype=torch.float64),
        "set": torch.randint(2, (rows, _outputs(task)), generator=generator).float(),
    }[task.columns["label"]]
    return logits, labels, [1] * rows


def loss(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the summed loss of examples, of which there is one for each row of the labels."""
    losses = task.loss({"logits": logits}, TaskBatch(torch.arange(len(labels)), {"label": labels}))
    assert losses.shape == (len(labels),)
    return losses.sum()


def item_of(logits: NDArray[Any], *, text: str = TEXT, words: Sequence[Span] = WORDS) -> ExampleOutputs:
    """Return the logits of one row, ``[outputs]`` or ``[words, outputs]``, as a task decodes them."""
    sequence = TokenSequence(np.arange(len(logits)), words=np.arange(len(logits)))
    return ExampleOutputs(Example(Input(text, given=words)), [sequence], {"logits": [logits]})


def items_of(rows: Sequence[NDArray[Any]]) -> list[ExampleOutputs]:
    """Return the logits of several rows as a task decodes them."""
    return [item_of(logits) for logits in rows]


def decode(task: Task, logits: NDArray[Any]) -> Prediction:
    """Return the prediction for one row."""
    (prediction,) = task.decode([item_of(logits)])
    return prediction


def formatted(
    task: Task,
    logits: NDArray[Any],
    *,
    text: str = TEXT,
    words: Sequence[Span] = WORDS,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - it is frozen
) -> Any:
    """Return the formatted prediction for one row."""
    item = item_of(logits, text=text, words=words)
    return task.format(task.decode([item])[0], item.example, options)


def ids_of(task: Task, logits: NDArray[Any]) -> Any:
    """Return the predicted value for one row with the ids of labels in place of their names."""
    return Predictions(list(task.labels), [decode(task, logits).value]).to_json()["predicted"][0]


def named(names: Sequence[str], ids: Sequence[Any]) -> list[Any]:
    """Return labels with their names in place of ids."""
    return Predictions.from_json({"names": list(names), "predicted": list(ids), "gold": []}).predicted


def score(
    task: Task, *, predicted: Sequence[Any], gold: Sequence[Any], names: Sequence[str]
) -> dict[str, float | None]:
    """Score predictions that are given as ids of names."""
    return task.score(named(names, predicted), named(names, gold))


def analyse(task: Task, *, predicted: Sequence[Any], gold: Sequence[Any], names: Sequence[str]) -> ErrorAnalysis | None:
    """Count errors of predictions that are given as ids of names."""
    return task.error_analysis(named(names, predicted), named(names, gold))


def confidence(task: Task, logits: Sequence[NDArray[Any]], gold: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the confidence of all predictions, and whether they are right."""
    pairs = zip(task.decode(items_of(logits)), gold, strict=True)
    probabilities, right = zip(*(task.confidence(prediction, label) for prediction, label in pairs), strict=True)
    return np.concatenate(probabilities), np.concatenate(right)

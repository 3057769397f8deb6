"""Any number of labels a text, or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nlpmtl.data import Span
from nlpmtl.metrics import Shape as Reads
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import LabelOptions, Logits, Prediction, Task, class_weights, full


class MultilabelOptions(LabelOptions):
    """Options of `Multilabel`."""

    class_weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """Label = its weight in the loss; 1 for those left out."""


@TASKS.register("multilabel", MultilabelOptions)
class Multilabel(Task):
    """A yes or no for each label, by binary cross-entropy, averaged over the labels of a row.

    Args:
        class_weights: see `MultilabelOptions`.
        label_smoothing: how far the targets 0 and 1 are drawn towards one half.
        task: what every `Task` takes.
    """

    kind = "multilabel"
    shape = "set"
    reads = ("label_set",)
    default_metrics = ("micro_f1", "macro_f1")
    threshold = 0.5

    def __init__(
        self, *, class_weights: dict[str, float] | None = None, label_smoothing: float = 0.0, **task: Any
    ) -> None:
        super().__init__(**task)
        self.label_smoothing = label_smoothing
        self._weights = self._weigh(class_weights)

    def _weigh(self, given: dict[str, float] | None) -> Tensor | None:
        return class_weights(given, task=self.name, labels=self.labels, counts=None)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = full(logits)
        targets = labels.to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
        weight = None if self._weights is None else self._weights.to(logits)
        summed = functional.binary_cross_entropy_with_logits(logits, targets, weight=weight, reduction="sum")
        return summed / len(self.labels)

    def choose(self, logits: Logits) -> Any:
        return np.flatnonzero(_sigmoid(logits) > self.threshold).tolist()

    def _as(self, reads: Reads, value: Any, names: Sequence[str]) -> Any:
        return [int(i in value) for i in range(len(names))]

    def present(self, logits: Logits, *, text: str, words: Sequence[Span]) -> Prediction:
        """``[{"label": "joy", "score": 0.91}, …]``: the labels above the threshold, the surest first."""
        scores = _sigmoid(logits)
        order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > self.threshold]
        return [{"label": self.labels[i], "score": float(scores[i])} for i in order]


def _sigmoid(logits: Logits) -> Logits:
    values: Logits = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return values

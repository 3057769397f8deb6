"""Parts of losses over labels: class weights, label smoothing, normalized entropy, and the precision of sums."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from nlpmtl.config import LabelName
from nlpmtl.data import column_type
from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.tasks.base import Task

if TYPE_CHECKING:
    from torch import Tensor

ClassWeights = dict[LabelName, Annotated[float, Field(ge=0)]] | Literal["balanced"]


class LabelTask(Task):
    """Base of the task types that predict one of several labels for each item."""

    class_weights: ClassWeights | None = Field(None, exclude=True)
    """Label = its weight in the loss (default: 1), all multiplied by the number that makes their mean over the train
    rows 1; or "balanced": rows / (labels · rows of the label)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, exclude=True)
    """Label smoothing ε: fraction of the target distribution that is spread evenly over all labels."""

    _counts: list[int] | None = PrivateAttr(None)
    _weights: Any = PrivateAttr(None)

    def check_fields(self) -> None:
        super().check_fields()
        check_class_weights(self.class_weights, task=self.name, labels=self.labels)

    @classmethod
    def resolve(cls, options: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
        resolved, weights = super().resolve(options, spell), options["class_weights"]
        if isinstance(weights, Mapping):
            resolved["class_weights"] = {spell(label): weight for label, weight in weights.items()}
        return resolved

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Count the labels, for class weights."""
        names = column_type(self.columns["label"]).names
        counts = Counter(name for value in values["label"] for name in names(value))
        self._counts, self._weights = [counts[label] for label in self.labels], None

    def label_weights(self, logits: Tensor) -> Tensor | None:
        """Return the weight of each label in the loss, ``[labels]``, in the dtype of logits; None if all are 1."""
        if self.class_weights is None:
            return None
        if self._weights is None:
            self._weights = class_weights(self.class_weights, labels=self.labels, counts=self._counts)
        return None if self._weights is None else self._weights.to(logits)


def check_class_weights(given: ClassWeights | None, *, task: str, labels: Sequence[str]) -> None:
    """Check that all labels with a weight are labels of the task.

    Raises:
        ConfigError: a weight for an unknown label.
    """
    for name in given if isinstance(given, Mapping) else ():
        if name not in labels:
            raise ConfigError(f"task {task!r}: class_weights: {name!r} is not a label; {did_you_mean(name, labels)}")


def class_weights(given: ClassWeights | None, *, labels: Sequence[str], counts: Sequence[int] | None) -> Tensor | None:
    """Return the weight of each label in the loss, ``[labels]``; None if all are 1.

    Args:
        given: label = weight (default: 1); or "balanced": rows / (labels · rows of the label).
        labels: the label names.
        counts: number of occurrences of each label in the train splits, if known: given weights are then multiplied by
            the number that makes their mean over these 1, so that the weight of the task is unchanged.
    """
    import torch

    if isinstance(given, Mapping):
        weights = torch.tensor([float(given.get(label, 1.0)) for label in labels], dtype=torch.float64)
        occurrences = torch.tensor([1] * len(labels) if counts is None else counts, dtype=torch.float64)
        total = (weights * occurrences).sum()
        return weights if counts is None or total == 0 else weights * occurrences.sum() / total
    if given is None or counts is None:
        return None
    return torch.tensor([sum(counts) / (len(labels) * count) if count else 0.0 for count in counts])


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax over the last axis, as a fraction of that of equal logits."""
    logs = upcast(logits).log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1) / math.log(logs.shape[-1])


def upcast(logits: Tensor) -> Tensor:
    """Return logits in at least single precision: losses are not summed in half precision."""
    import torch

    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

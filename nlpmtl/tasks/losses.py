"""Parts of losses: class weights, normalised entropy, and the precision in which losses are summed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.tasks.options import ClassWeights


def class_weights(
    given: ClassWeights | None, *, task: str, labels: Sequence[str], counts: Sequence[int] | None
) -> Tensor | None:
    """The weight of each label in the loss, ``[labels]``; None where all are 1.

    Args:
        given: what the config says.
        task: the task's name.
        labels: its labels.
        counts: how often each occurs in the train splits, where that is known: given weights are then multiplied by a
            number that makes their mean over these 1, so that the task keeps its share of the mixture.

    Raises:
        ConfigError: a weight for an unknown label.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        for name in given:
            if name not in labels:
                raise ConfigError(f"task {task!r}: class_weights: {name!r} is no label; {did_you_mean(name, labels)}")
        weights = torch.tensor([float(given.get(label, 1.0)) for label in labels], dtype=torch.float64)
        occurrences = torch.tensor([1] * len(labels) if counts is None else counts, dtype=torch.float64)
        total = (weights * occurrences).sum()
        return weights if counts is None or total == 0 else weights * occurrences.sum() / total
    if counts is None:
        return None
    return torch.tensor([sum(counts) / (len(labels) * count) if count else 0.0 for count in counts])


def entropy(logits: Tensor) -> Tensor:
    """The entropy of the softmax over the last axis, from 0 to 1: as a share of what it is where all are equal."""
    logs = upcast(logits).log_softmax(dim=-1)
    return -(logs.exp() * logs).sum(dim=-1) / math.log(logs.shape[-1])


def upcast(logits: Tensor) -> Tensor:
    """Logits in at least single precision: losses are not summed in half."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

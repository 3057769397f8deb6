"""Parts of all exports of one task: its encoder, and its tokenizer without settings of a run."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlpmtl.data import without_truncation
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.model import MultiTaskModel


def check_task(model: MultiTaskModel, task: str) -> None:
    """Raise ConfigError if a model has no such task."""
    if task not in model.tasks:
        raise ConfigError(f"this model has no task {task!r}; {did_you_mean(task, model.tasks)}")


def transformers_encoder(
    model: MultiTaskModel, *, task: str, to_error: Callable[[str, str], ModelError]
) -> PreTrainedModel:
    """Return a transformers encoder that computes the hidden states of a task.

    Args:
        model: the model.
        task: name of the task.
        to_error: a function of the task and the reason why it cannot be exported.

    Raises:
        ModelError: the model does not have this encoder.
    """
    encoder = model.sharing.standalone_encoder(task)
    if encoder is None:
        kind = model.config.sharing["kind"]
        raise to_error(task, f"no transformers encoder computes the hidden states of sharing.kind = {kind!r}")
    return encoder


def with_max_length(tokenizer: PreTrainedTokenizerBase, max_length: int) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer without truncation and padding settings, and with this maximum length.

    It pads on the right, as nlpmtl does in training and prediction: with padding on the left, the first token of a
    short row in a batch would be padding.
    """
    tokenizer = without_truncation(tokenizer)
    tokenizer.model_max_length, tokenizer.padding_side = max_length, "right"
    return tokenizer

"""A task as a stock transformers model: what an export folds into the last layer, and what it has to leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StockModel:
    """The last layer, config and pipeline of a stock model that predicts as a task does.

    The logits of the stock model are ``logits * factor + shift``.

    Args:
        problem_type: `problem_type` of the model's config.
        factor: factor of the logits: 1 / temperature, or the standard deviation of the targets.
        shift: shift of the logits: the mean of the targets.
        folded: a sentence for each change of the last layer.
        omitted: a sentence for each step between logits and prediction that the pipeline does not take.
        config: further keys of the model's config.
        arguments: arguments of a call of the pipeline that predicts like the task, such as ``{"truncation": True}``.
        auto_class: name of the class of transformers that loads the model.
        outputs: names of the logits in the outputs of the stock model; several are those of the head, in order, on its
            last axis.
        usage: Python code for the README; default: a call of the pipeline.
        pipeline: name of the pipeline, where it is not the `pipeline_tag` of the task type.
        pairs: whether the model reads pairs of texts although the input of the task may be a text.
        by_choice: whether its inputs are ``[rows, choices, sequence_length]`` and its logits ``[rows, choices]``; it
            reads pairs.
    """

    problem_type: str | None
    factor: float = 1.0
    shift: float = 0.0
    folded: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    auto_class: str = "AutoModelForSequenceClassification"
    outputs: tuple[str, ...] = ("logits",)
    usage: str | None = None
    pipeline: str | None = None
    pairs: bool = False
    by_choice: bool = False


def fold_temperature(temperature: float) -> dict[str, Any]:
    """Return the arguments of a `StockModel` that divide the logits by a temperature."""
    if temperature == 1.0:
        return {}
    return {"factor": 1 / temperature, "folded": (f"The temperature: logits are divided by {temperature:.6g}.",)}

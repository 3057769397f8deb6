"""One task as a stock transformers model, which `pipeline()` runs where there is no nlpmtl."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nlpmtl.data import without_truncation
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.export.hf_tasks import HFTaskSpec, hf_task_spec, write_task_card
from nlpmtl.fs import apply_umask
from nlpmtl.heads import Head
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.model import MultiTaskModel

_AUTO: Mapping[str, tuple[Any, Any]] = {
    "text-classification": (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModelForSequenceClassification),
    "token-classification": (MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, AutoModelForTokenClassification),
}
_CLOSE = 1e-5
"""Of the largest logit before a shift: a mean far from 0 must not hide a difference."""
_ROUNDINGS = 8
"""So many of the number format's own are allowed where that is more: what is folded in is rounded, as results are."""
_PROBES = (
    "Ada lives in Turin, and she has never seen a better film than this one.",
    "No.",
    "É così: 12 lamps for £39.50?!",
    "A kettle, a lamp and a book stood on the old table. " * 40,
)


def export_task(model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, *, task: str, directory: Path) -> float:
    """Write one task of a model as a directory that `transformers.pipeline` reads.

    The temperature, or a regression's scale, is folded into the last layer, so that scores and numbers are those that
    `Predictor` gives. The directory is read back, and its logits are compared, before it gets its name.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        task: which task.
        directory: where to; it must not exist, or be empty.

    Returns:
        The largest difference of a logit that was found between the two models, as a fraction of the largest logit (of
        1, where that is less).

    Raises:
        ConfigError: there is no such task, or the directory holds something.
        ModelError: no stock model has this encoder with this head.
    """
    if task not in model.tasks:
        raise ConfigError(f"this model has no task {task!r}; {did_you_mean(task, model.tasks)}")
    answer = hf_task_spec(model.tasks[task])
    if answer is None:
        raise _export_error(task, f"its kind, {model.tasks[task].kind!r}, is not one that transformers' pipelines know")
    stock = _build(model, task=task, answer=answer)
    own = _fit(tokenizer, length=model.config.input_length)
    with atomic_directory(directory) as part:
        stock.save_pretrained(part)
        apply_umask(part)
        own.save_pretrained(part)
        card = write_task_card(model.tasks[task], answer=answer, length=model.config.input_length)
        (part / "README.md").write_text(card, encoding="utf-8")
        return _check(part, model=model, tokenizer=own, task=task, answer=answer)


def _build(model: MultiTaskModel, *, task: str, answer: HFTaskSpec) -> PreTrainedModel:
    """The stock model; its weights are the model's own, but for the last layer."""
    encoder, head = model.sharing.standalone_encoder(task), model.head(task)
    if encoder is None:
        kind = model.config.sharing["kind"]
        raise _export_error(task, f"no stock encoder computes its hidden states, which the model shares by {kind!r}")
    members = _AUTO[answer.pipeline][0]
    if type(encoder.config) not in members:
        raise _export_error(
            task, f"transformers has no model for {answer.pipeline} on a {encoder.config.model_type!r} encoder"
        )
    if not isinstance(head, Head):
        raise _export_error(task, f"its head is of its own making, {type(head).__name__}")
    config = copy.deepcopy(encoder.config)
    config.update(answer.config())
    with torch.device("meta"):
        stock = members[type(config)](config)
    assert isinstance(stock, PreTrainedModel)
    weights = {f"{stock.base_model_prefix}.{name}": weight for name, weight in encoder.state_dict().items()}
    weights |= _head_weights(head, answer=answer)
    expected = stock.state_dict()
    if found := {name for name in weights.keys() | expected.keys() if _size(weights, name) != _size(expected, name)}:
        raise _export_error(task, f"{type(stock).__name__} has another head: {', '.join(sorted(found)[:4])} do not fit")
    stock.load_state_dict(weights, assign=True)
    return stock


def _head_weights(head: Head, *, answer: HFTaskSpec) -> dict[str, Tensor]:
    """The head's weights by their stock names, with the answer's factor and shift in the last layer."""
    weights: dict[str, Tensor] = {}
    for ours, theirs in zip(head.shape.layers, head.shape.stock, strict=True):
        for name, weight in head.get_submodule(ours).named_parameters():
            weights[f"{theirs}.{name}"] = weight.detach()
    last = head.shape.stock[-1]
    for name, shift in ((f"{last}.weight", 0.0), (f"{last}.bias", answer.shift)):
        weights[name] = (weights[name].cpu().double() * answer.factor + shift).to(weights[name].dtype)
    return weights


def _size(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def _fit(tokenizer: PreTrainedTokenizerBase, *, length: int) -> PreTrainedTokenizerBase:
    """A tokenizer that cuts where the model was trained to, with nothing left of how it was used before."""
    own = without_truncation(tokenizer)
    own.model_max_length = length
    return own


def _check(
    directory: Path, *, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, task: str, answer: HFTaskSpec
) -> float:
    """The largest difference between the model and what was written; ModelError if it is one that counts."""
    stock, info = _AUTO[answer.pipeline][1].from_pretrained(
        directory, trust_remote_code=False, output_loading_info=True
    )
    if left := {*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]}:
        raise _export_error(task, f"{type(stock).__name__} does not read back {', '.join(sorted(map(str, left))[:4])}")
    texts = [list(_PROBES), list(reversed(_PROBES))] if model.tasks[task].takes_pairs else [list(_PROBES)]
    options: dict[str, Any] = {"truncation": True, "padding": True, "return_tensors": "pt"}
    inputs = tokenizer(*texts, **options).to(model.device)
    again = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)(*texts, **options)
    if not torch.equal(inputs["input_ids"].cpu(), again["input_ids"]):
        raise _export_error(task, "its tokenizer splits texts in another way once it is saved")
    with torch.inference_mode():
        rows = {task: torch.arange(len(_PROBES), device=model.device)}
        expected = model(**inputs, rows=rows)[task].cpu().double() * answer.factor + answer.shift
        found = stock.eval().to(model.device)(**inputs).logits.cpu().double()
    if model.tasks[task].level == "token":
        placed = inputs["attention_mask"].cpu().bool()
        expected, found = expected[placed], found[placed]
    apart = float((found - expected).abs().max())
    spread, largest = (float(one.abs().max().clamp(min=1)) for one in (expected - answer.shift, expected))
    if not apart <= max(_CLOSE * spread, _ROUNDINGS * torch.finfo(model.dtype).eps * largest):
        raise _export_error(task, f"{type(stock).__name__} gives other logits, which differ by {apart:.1e}")
    return apart / largest


def _export_error(task: str, why: str) -> ModelError:
    return ModelError(
        f"task {task!r} cannot be written as a stock transformers model: {why}. ONNX can hold it: "
        f"nlpmtl export … --to onnx --task {task}"
    )

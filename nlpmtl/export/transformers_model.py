"""Export of one task as a transformers model, for `transformers.pipeline` without nlpmtl."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from nlpmtl.errors import ModelError
from nlpmtl.export.parts import check_task, transformers_encoder, with_max_length
from nlpmtl.export.readme import transformers_readme
from nlpmtl.fs import set_default_permissions
from nlpmtl.heads import Head, HeadInputs, choice_head_modules, encoder_name, sequence_head_config
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.model import MultiTaskModel
from nlpmtl.tasks import StockModel, Task

_TOLERANCE = 1e-5
"""Relative to the largest logit before the shift, so that a large mean of the targets does not hide a difference."""
_TOLERANCE_EPS = 8
"""Tolerance in units of the dtype's epsilon, where that is more: folded weights are rounded, as results are."""
_TEST_TEXTS = (
    "Ada lives in Turin, and she has never seen a better film than this one.",
    "No.",
    "É così: 12 lamps for £39.50?!",
    "A kettle, a lamp and a book stood on the old table. " * 40,
)


def export_task(model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, *, task: str, directory: Path) -> float:
    """Write one task of a model as a directory that `transformers.pipeline` loads.

    The temperature, or the scale of a regression, is folded into the last layer, so that scores and numbers are those
    of `Predictor`. Before the directory is moved to its path, the model is loaded from it and the logits are compared.

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        task: name of the task.
        directory: where to write; must be empty or not exist.

    Returns:
        Maximum difference of a logit between the two models, relative to the largest logit, or to 1 (for small targets
        their standard deviation) if that is more.

    Raises:
        ConfigError: the model has no such task, or the directory is not empty.
        ModelError: no transformers model has this encoder with this head.
    """
    check_task(model, task)
    stock = model.tasks[task].stock_model()
    if stock is None:
        if not model.tasks[task].exportable:
            raise ModelError(f"task {task!r} cannot be exported to transformers: {model.tasks[task].stock_refusal}")
        raise _export_error(task, model.tasks[task].stock_refusal)
    exported = _build(model, task=task, stock=stock)
    tokenizer = with_max_length(tokenizer, model.config.input_length)
    with atomic_directory(directory) as part:
        exported.save_pretrained(part)
        set_default_permissions(part)
        tokenizer.save_pretrained(part)
        readme = transformers_readme(model.tasks[task], stock=stock, max_length=model.config.input_length)
        (part / "README.md").write_text(readme, encoding="utf-8")
        return _verify(part, model=model, tokenizer=tokenizer, task=model.tasks[task], stock=stock)


def _build(model: MultiTaskModel, *, task: str, stock: StockModel) -> PreTrainedModel:
    """Return the transformers model; except for the last layer, it shares the weights of `model`."""
    encoder, head = transformers_encoder(model, task=task, to_error=_export_error), model.head(task)
    _check_head(head, encoder, task=task)
    config = copy.deepcopy(encoder.config)
    config.update(_config(model.tasks[task], stock))
    try:
        with torch.device("meta"):
            exported = getattr(transformers, stock.auto_class).from_config(config, trust_remote_code=False)
    except ValueError as error:
        raise _export_error(
            task, f"{stock.auto_class} of transformers has no model for a {config.model_type!r} encoder"
        ) from error
    assert isinstance(exported, PreTrainedModel)
    prefix = encoder_name(exported)
    weights = {f"{prefix}.{name}": weight for name, weight in encoder.state_dict().items()}
    if isinstance(head, Head):
        weights |= _head_weights(head, stock=stock, config=config, prefix=prefix)
    else:
        weights |= head.stock_weights()
    expected = exported.state_dict()
    names = weights.keys() | expected.keys()
    if different := sorted(name for name in names if _shape(weights, name) != _shape(expected, name)):
        raise _export_error(task, f"{type(exported).__name__} has another head: {', '.join(different[:4])} do not fit")
    exported.load_state_dict(weights, assign=True)
    if hasattr(head, "generation_config"):
        exported.generation_config = head.generation_config()
    return exported


def _check_head(head: nn.Module, encoder: PreTrainedModel, *, task: str) -> None:
    """Check that a stock model has such a head: a standard one, or one with `stock_weights` and `stock_logits`."""
    if not isinstance(head, Head):
        if not hasattr(head, "stock_weights"):
            raise _export_error(task, f"its head is a {type(head).__name__}, not a `nlpmtl.heads.Head`")
        return
    pooling = sequence_head_config(encoder.config).pooling
    if head.level == "sequence" and head.config.pooling != pooling:
        raise _export_error(
            task,
            f"its pooling is {head.config.pooling!r}, and the model of transformers has {pooling!r}: train it with "
            f'pooling = "{pooling}"',
        )


def _config(task: Task, stock: StockModel) -> dict[str, Any]:
    labels = task.labels or (task.name,)
    if "Classification" not in stock.auto_class:
        return dict(stock.config)
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": stock.problem_type,
        **stock.config,
    }


def _head_weights(head: Head, *, stock: StockModel, config: PretrainedConfig, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a head by their names in transformers, with factor and shift in the last layer."""
    weights: dict[str, Tensor] = {}
    modules = choice_head_modules(head.config, config, prefix=prefix) if stock.by_choice else head.config.hf_modules
    for ours, theirs in zip(head.config.layers, modules, strict=True):
        for name, weight in head.get_submodule(ours).named_parameters():
            weights[f"{theirs}.{name}"] = weight.detach()
    last = modules[-1]
    for name, shift in ((f"{last}.weight", 0.0), (f"{last}.bias", stock.shift)):
        weights[name] = (weights[name].cpu().double() * stock.factor + shift).to(weights[name].dtype)
    return weights


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(weights[name].shape) if name in weights else None


def _verify(
    directory: Path, *, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, task: Task, stock: StockModel
) -> float:
    """Load the exported model and return its maximum logit difference; ModelError if it exceeds the tolerance."""
    auto_class = getattr(transformers, stock.auto_class)
    exported, info = auto_class.from_pretrained(directory, trust_remote_code=False, output_loading_info=True)
    if wrong := {*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]}:
        raise _export_error(
            task.name, f"{type(exported).__name__} does not load {', '.join(sorted(map(str, wrong))[:4])}"
        )
    pairs = task.takes_pairs or stock.pairs or stock.by_choice
    texts = [list(_TEST_TEXTS), list(reversed(_TEST_TEXTS))] if pairs else [list(_TEST_TEXTS)]
    options: dict[str, Any] = {"truncation": True, "padding": True, "return_tensors": "pt"}
    inputs = tokenizer(*texts, **options).to(model.device)
    loaded_inputs = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)(*texts, **options)
    if not torch.equal(inputs["input_ids"].cpu(), loaded_inputs["input_ids"]):
        raise _export_error(task.name, "its tokenizer gives other tokens after it is saved and loaded")
    with torch.inference_mode():
        expected = _logits(model, inputs, task=task.name).cpu().double() * stock.factor + stock.shift
        mask, head = inputs["attention_mask"].cpu().bool(), model.head(task.name)
        inputs |= head.stock_inputs(len(_TEST_TEXTS)) if hasattr(head, "stock_inputs") else {}
        if stock.by_choice:  # one row, whose choices are the texts
            inputs = {name: values.unsqueeze(0) for name, values in inputs.items()}
        logits = _stock_logits(exported.eval().to(model.device)(**inputs), stock).cpu().double()
        logits = logits.T if stock.by_choice else logits
    if expected.dim() > 2 and expected.shape[1] == mask.shape[1]:
        expected, logits = expected[mask], logits[mask]
    difference = float((logits - expected).abs().max())
    unit = min(1.0, stock.factor)  # a difference of small targets is small too
    scale, largest = (float(values.abs().max().clamp(min=unit)) for values in (expected - stock.shift, expected))
    if not difference <= max(_TOLERANCE * scale, _TOLERANCE_EPS * torch.finfo(model.dtype).eps * largest):
        raise _export_error(task.name, f"{type(exported).__name__} gives other logits: they differ by {difference:.1e}")
    return difference / largest


def _stock_logits(outputs: Any, stock: StockModel) -> Tensor:
    """Return the logits of a stock model in the shape of those of the head."""
    first, *others = (outputs[name] for name in stock.outputs)
    return torch.stack([first, *others], dim=-1) if others else first


def _logits(model: MultiTaskModel, inputs: Mapping[str, Tensor], *, task: str) -> Tensor:
    """Return the logits of a task for the test texts, at all tokens if the stock model has them for each token."""
    rows = {task: torch.arange(len(_TEST_TEXTS), device=model.device)}
    head = model.head(task)
    if isinstance(head, Head):
        logits: Tensor = model(**inputs, rows=rows)[task]
        return logits
    hidden = model.sharing(inputs, rows)[task]
    stock_logits: Tensor = head.stock_logits(HeadInputs(hidden, inputs["attention_mask"], dtype=model.dtype))
    return stock_logits


def _export_error(task: str, reason: str) -> ModelError:
    return ModelError(
        f"task {task!r} cannot be exported to transformers: {reason}. Export it to ONNX: "
        f"nlpmtl export … --to onnx --task {task}"
    )

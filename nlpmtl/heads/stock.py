"""Stock heads: the part of a model of transformers that follows its encoder, such as that of ``BertForMaskedLM``.

The model of transformers is built with its encoder replaced by `HiddenStates`, which returns the hidden states that it
is called with. Therefore the head is computed by the code of its architecture, and it can be exported to a stock model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from nlpmtl.errors import ModelError
from nlpmtl.heads.head import HeadContext

SEQ2SEQ = "AutoModelForSeq2SeqLM"
"""The class of transformers for encoder-decoders."""


class HiddenStates(nn.Module):
    """Replaces the encoder of a model of transformers: it returns the ``inputs_embeds`` that it is called with."""

    main_input_name = "inputs_embeds"  # `generate` reads it

    def forward(
        self, *args: Any, inputs_embeds: Tensor, **options: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Return the hidden states, ``[rows, sequence_length, width]``, as the output of an encoder."""
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=inputs_embeds)


class StockPart(NamedTuple):
    """A model of transformers whose encoder is replaced.

    Args:
        model: the model.
        pretrained: whether all weights of the head are from the checkpoint.
    """

    model: PreTrainedModel
    pretrained: bool


def has_stock_model(config: PretrainedConfig, auto_class: str) -> bool:
    """Return whether transformers has a model for an encoder.

    Args:
        config: config of the encoder.
        auto_class: name of a class of transformers, such as "AutoModelForMaskedLM".
    """
    return type(config) in getattr(transformers, auto_class)._model_mapping


def stock_part(context: HeadContext, auto_class: str) -> StockPart:
    """Return the architecture's own model for a task, with the encoder replaced by `HiddenStates`.

    Its weights are those of the checkpoint if it has them, else initial ones. Parameters that transformers ties to the
    encoder, such as the output embeddings to the input embeddings, are the parameters of the encoder themselves.

    Args:
        context: the encoder, with its checkpoint.
        auto_class: name of a class of transformers, such as "AutoModelForMaskedLM".

    Raises:
        ModelError: transformers has no such model for this architecture, or its head needs more than the hidden states
            of the encoder.
    """
    encoder, config = context.encoder, context.config
    assert isinstance(encoder, PreTrainedModel), "stock heads share parameters with the encoder"
    if not has_stock_model(config, auto_class):
        raise ModelError(f"transformers has no {auto_class} for the architecture {config.model_type!r}")
    if config.is_encoder_decoder and auto_class != SEQ2SEQ:
        raise ModelError(
            f"the {auto_class} of the architecture {config.model_type!r} reads its decoder, but the heads of a model "
            "read its encoder: use an encoder without a decoder, such as BERT, RoBERTa or ModernBERT"
        )
    model, missing = _load(context, auto_class)
    prefix = encoder_name(model)
    ties = dict(model.all_tied_weights_keys)
    parent, _, key = prefix.rpartition(".")
    setattr(model.get_submodule(parent), key, HiddenStates())
    device = next(encoder.parameters()).device
    if context.load_stock is None and device.type != "meta":
        model.to_empty(device=device)
        model.initialize_weights()
    _tie(model, ties, prefix=prefix, encoder=encoder)
    if device.type != "meta" and not model.config.is_encoder_decoder:
        _check(model, width=context.width)
    return StockPart(model, context.load_stock is not None and all(name.startswith(f"{prefix}.") for name in missing))


def encoder_name(model: PreTrainedModel) -> str:
    """Return the name of the encoder in a model of transformers, such as "bert" or "model.encoder"."""
    if not model.config.is_encoder_decoder:
        return str(model.base_model_prefix)
    encoder = model.get_encoder()
    names: list[str] = [name for name, module in model.named_modules() if module is encoder]
    return names[0]


def _load(context: HeadContext, auto_class: str) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return the model of the checkpoint and its missing weights; without a checkpoint a model without values."""
    if context.load_stock is not None:
        return context.load_stock(auto_class)
    with torch.device("meta"):
        model: PreTrainedModel = getattr(transformers, auto_class).from_config(context.config, trust_remote_code=False)
    return model, frozenset()


def _tie(model: PreTrainedModel, ties: Mapping[str, str], *, prefix: str, encoder: PreTrainedModel) -> None:
    """Set parameters that are tied to a parameter of the encoder, or to another one of the head."""
    groups: dict[str, list[str]] = {}
    for target, source in ties.items():
        groups.setdefault(source, [source]).append(target)
    for source, names in groups.items():
        inside = [name.removeprefix(f"{prefix}.") for name in names if name.startswith(f"{prefix}.")]
        parameter = encoder.get_parameter(inside[0]) if inside else model.get_parameter(source)
        for name in names:
            if not name.startswith(f"{prefix}."):
                module, _, key = name.rpartition(".")
                model.get_submodule(module).register_parameter(key, parameter)


def _check(model: PreTrainedModel, *, width: int) -> None:
    """Check that the head computes logits from hidden states only."""
    hidden = torch.zeros(1, 1, width, dtype=model.dtype, device=model.device)
    try:
        with torch.no_grad():
            logits = model(inputs_embeds=hidden).logits
    except Exception as error:  # errors of models have no common base class
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"the head of {type(model).__name__} needs more than hidden states: {reason}") from error
    if logits.shape[:2] != (1, 1):
        raise ModelError(f"the head of {type(model).__name__} does not return logits for each hidden state")

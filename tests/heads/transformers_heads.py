"""Tiny random classifiers of transformers for each architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from nlpmtl.heads import Head, HeadConfig

LABELS = 3
_SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 1,
    "hidden_dropout_prob": 0.15,
    "attention_probs_dropout_prob": 0.05,
}
_TOKENS = {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "bert, own dropout": ("bert", {"classifier_dropout": 0.4}),
    "roberta": ("roberta", {}),
    "roberta, own dropout": ("roberta", {"classifier_dropout": 0.4}),
    "xlm-roberta": ("xlm-roberta", {"classifier_dropout": 0.0}),
    "distilbert": (
        "distilbert",
        {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "dropout": 0.35, "seq_classif_dropout": 0.45},
    ),
    "electra": ("electra", {"embedding_size": 16, "classifier_dropout": 0.4}),
    "deberta-v2": ("deberta-v2", {"pooler_dropout": 0.25, "pooler_hidden_act": "gelu"}),
    "deberta-v2, own dropout": ("deberta-v2", {"cls_dropout": 0.0}),
    "mpnet": ("mpnet", {}),
    "albert": ("albert", {"embedding_size": 8, "classifier_dropout_prob": 0.4}),
    "modernbert": ("modernbert", {**_TOKENS, "classifier_dropout": 0.3}),
    "modernbert, mean": (
        "modernbert",
        {
            **_TOKENS,
            "classifier_pooling": "mean",
            "classifier_bias": True,
            "norm_bias": True,
            "norm_eps": 1e-2,
            "classifier_activation": "silu",
        },
    ),
}
VARIANTS = sorted(_OWN)


def config_of(variant: str) -> PretrainedConfig:
    """Return the config of a tiny encoder."""
    model_type, options = _OWN[variant]
    sizes = {} if model_type == "distilbert" else _SIZES
    common = {"vocab_size": 50, "max_position_embeddings": 32, "pad_token_id": 1, "num_labels": LABELS}
    config = AutoConfig.for_model(model_type, **{**common, **sizes, **options})
    assert isinstance(config, PretrainedConfig)
    return config


def stock_of(variant: str, level: str) -> PreTrainedModel:
    """Return the classifier of transformers with random weights, biases and normalisations included."""
    auto: Any = AutoModelForSequenceClassification if level == "sequence" else AutoModelForTokenClassification
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = auto.from_config(config_of(variant), attn_implementation="eager")
        assert isinstance(model, PreTrainedModel)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
    model.eval()
    return model


def batch() -> tuple[Tensor, Tensor]:
    """Return token ids and a mask of rows with different lengths."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, 50, (4, 7), generator=generator)
    mask = (torch.arange(7) < torch.tensor([7, 4, 1, 6])[:, None]).long()
    return ids.where(mask.bool(), torch.tensor(1)), mask


def hidden_of(model: PreTrainedModel) -> Tensor:
    """Return the last hidden states of the encoder."""
    ids, mask = batch()
    hidden: Tensor = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    return hidden


def logits_of(model: PreTrainedModel) -> Tensor:
    """Return the logits of the classifier."""
    ids, mask = batch()
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return logits


def copy_weights(stock: PreTrainedModel, head: Head, config: HeadConfig) -> None:
    """Copy the weights of the classifier into a head, by the names in its config."""
    for name, theirs in zip(config.layers, config.hf_modules, strict=True):
        head.get_submodule(name).load_state_dict(stock.get_submodule(theirs).state_dict())


def drop_in_the_head_alone(stock: PreTrainedModel) -> None:
    """Set the dropouts of a classifier, except those of its encoder, to training mode."""
    inside = {id(module) for module in stock.base_model.modules()}
    for module in stock.modules():
        if isinstance(module, nn.Dropout) and id(module) not in inside:
            module.train()

"""The shape of the head that transformers itself puts on each architecture, so that ours can become one of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from transformers import PretrainedConfig


@dataclass(frozen=True)
class HeadConfig:
    """What stands between an encoder's hidden states and the logits of a task.

    Order: pool → drop → dense → activation → normalisation → drop → out. Without ``dense`` the middle falls away.

    Args:
        pooling: which hidden state stands for a text: the first, or the mean over tokens. Labeling takes them all.
        dense: whether there is a dense layer.
        bias: whether the dense layer has a bias.
        activation: the dense layer's activation, by transformers' name for it.
        norm: the layer normalisation's epsilon after it; None for none.
        norm_bias: whether that normalisation has a bias.
        drop_in: dropout before the dense layer.
        drop_out: dropout before the last layer.
        stock: the names of the stock model's modules that the dense layer, the normalisation and the last layer are.
        dense_std: the standard deviation of the dense layer's initial weights; None for the encoder's.
        out_std: the standard deviation of the last layer's initial weights; None for the encoder's.
        cutoff: initial weights are drawn from a normal distribution that is truncated at so many standard deviations;
            None for no limit.
    """

    pooling: Literal["first", "mean"] = "first"
    dense: bool = True
    bias: bool = True
    activation: str = "tanh"
    norm: float | None = None
    norm_bias: bool = False
    drop_in: float = 0.0
    drop_out: float = 0.0
    stock: tuple[str, ...] = ("classifier",)
    dense_std: float | None = None
    out_std: float | None = None
    cutoff: float | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Our names of the modules that ``stock`` names."""
        return (*("dense",) * self.dense, *("norm",) * (self.dense and self.norm is not None), "out")


def sequence_shape(config: PretrainedConfig) -> HeadConfig:
    """The head of ``…ForSequenceClassification`` of an encoder's architecture.

    An architecture that is not listed gets RoBERTa's head: dense and tanh over the first token.
    """
    drop = _classifier_dropout(config)
    roberta = HeadConfig(drop_in=drop, drop_out=drop, stock=("classifier.dense", "classifier.out_proj"))
    match config.model_type:
        case "bert":
            return HeadConfig(drop_out=drop, stock=("bert.pooler.dense", "classifier"))
        case "albert":
            return HeadConfig(drop_out=config.classifier_dropout_prob, stock=("albert.pooler", "classifier"))
        case "distilbert":
            return HeadConfig(
                activation="relu", drop_out=config.seq_classif_dropout, stock=("pre_classifier", "classifier")
            )
        case "electra":
            return replace(roberta, activation="gelu")
        case "deberta-v2":
            cls_dropout = getattr(config, "cls_dropout", None)
            return HeadConfig(
                activation=config.pooler_hidden_act,
                drop_in=config.pooler_dropout,
                drop_out=config.hidden_dropout_prob if cls_dropout is None else cls_dropout,
                stock=("pooler.dense", "classifier"),
            )
        case "modernbert":
            pooling: Literal["first", "mean"] = "mean" if config.classifier_pooling == "mean" else "first"
            return replace(_modernbert(config), pooling=pooling)
        case _:
            return roberta


def token_shape(config: PretrainedConfig) -> HeadConfig:
    """The head of ``…ForTokenClassification`` of an encoder's architecture: a last layer alone, but for ModernBERT."""
    if config.model_type == "modernbert":
        return _modernbert(config)
    return HeadConfig(dense=False, drop_out=_classifier_dropout(config))


def _modernbert(config: PretrainedConfig) -> HeadConfig:
    return HeadConfig(
        dense_std=config.initializer_range / math.sqrt(2 * config.num_hidden_layers),
        out_std=config.hidden_size**-0.5,
        cutoff=float(config.initializer_cutoff_factor),
        bias=config.classifier_bias,
        activation=config.classifier_activation,
        norm=config.norm_eps,
        norm_bias=config.norm_bias,
        drop_out=config.classifier_dropout,
        stock=("head.dense", "head.norm", "classifier"),
    )


def _classifier_dropout(config: PretrainedConfig) -> float:
    """The first of the names under which architectures keep it."""
    for name in ("classifier_dropout", "classifier_dropout_prob", "hidden_dropout_prob", "dropout"):
        value = getattr(config, name, None)
        if value is not None:
            return float(value)
    return 0.0

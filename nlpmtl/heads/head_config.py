"""Head configs: the layers of the head that transformers uses for each architecture.

A head has the same layers as that of `…ForSequenceClassification` or `…ForTokenClassification`, so that one task can be
exported as such a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from nlpmtl.config import Pooling


@dataclass(frozen=True)
class HeadConfig:
    """Layers between the hidden states of an encoder and the logits of a task.

    Order: pool → dropout → dense → activation → normalization → dropout → out. Without ``dense``: pool → dropout → out.

    Args:
        pooling: how a text is pooled: first token, mean or maximum over tokens, or `AttentionPooling`. Token-level
            heads do not pool.
        dense: whether there is a dense layer.
        bias: whether the dense layer has a bias.
        activation: activation after the dense layer, by its name in transformers.
        norm: epsilon of the layer normalization after the activation; None: no normalization.
        norm_bias: whether the normalization has a bias.
        dropout_in: dropout probability before the dense layer.
        dropout_out: dropout probability before the output layer.
        hf_modules: names of the dense layer, the normalization and the output layer in the transformers model.
        dense_std: standard deviation of the initial weights of the dense layer; None: that of the encoder.
        out_std: standard deviation of the initial weights of the output layer; None: that of the encoder.
        cutoff: number of standard deviations at which the normal distribution of the initial weights is truncated;
            None: no truncation.
    """

    pooling: Pooling = "first"
    dense: bool = True
    bias: bool = True
    activation: str = "tanh"
    norm: float | None = None
    norm_bias: bool = False
    dropout_in: float = 0.0
    dropout_out: float = 0.0
    hf_modules: tuple[str, ...] = ("classifier",)
    dense_std: float | None = None
    out_std: float | None = None
    cutoff: float | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in `Head`, in the order of ``hf_modules``."""
        names = []
        if self.dense:
            names.append("dense")
            if self.norm is not None:
                names.append("norm")
        return (*names, "out")


def sequence_head_config(config: PretrainedConfig) -> HeadConfig:
    """Return the config of the head of ``…ForSequenceClassification`` for the architecture of an encoder.

    Other architectures get RoBERTa's head: a dense layer and tanh on the first token.
    """
    drop = _classifier_dropout(config)
    roberta = HeadConfig(dropout_in=drop, dropout_out=drop, hf_modules=("classifier.dense", "classifier.out_proj"))
    match config.model_type:
        case "bert":
            return HeadConfig(dropout_out=drop, hf_modules=("bert.pooler.dense", "classifier"))
        case "albert":
            return HeadConfig(dropout_out=config.classifier_dropout_prob, hf_modules=("albert.pooler", "classifier"))
        case "distilbert":
            return HeadConfig(
                activation="relu", dropout_out=config.seq_classif_dropout, hf_modules=("pre_classifier", "classifier")
            )
        case "electra":
            return replace(roberta, activation="gelu")
        case "deberta-v2":
            cls_dropout = getattr(config, "cls_dropout", None)
            return HeadConfig(
                activation=config.pooler_hidden_act,
                dropout_in=config.pooler_dropout,
                dropout_out=config.hidden_dropout_prob if cls_dropout is None else cls_dropout,
                hf_modules=("pooler.dense", "classifier"),
            )
        case "modernbert":
            pooling: Pooling = "mean" if config.classifier_pooling == "mean" else "first"
            return replace(_modernbert(config), pooling=pooling)
        case _:
            return roberta


def token_head_config(config: PretrainedConfig) -> HeadConfig:
    """Return the config of the head of ``…ForTokenClassification``: a linear layer, except for ModernBERT."""
    if config.model_type == "modernbert":
        return _modernbert(config)
    return HeadConfig(dense=False, dropout_out=_classifier_dropout(config))


def question_answering_head_config(config: PretrainedConfig) -> HeadConfig:
    """Return the config of the head of ``…ForQuestionAnswering``: a linear layer, except for ModernBERT."""
    if config.model_type == "modernbert":
        return _modernbert(config)
    return HeadConfig(dense=False, dropout_out=getattr(config, "qa_dropout", 0.0), hf_modules=("qa_outputs",))


def _modernbert(config: PretrainedConfig) -> HeadConfig:
    return HeadConfig(
        dense_std=config.initializer_range / math.sqrt(2 * config.num_hidden_layers),
        out_std=config.hidden_size**-0.5,
        cutoff=float(config.initializer_cutoff_factor),
        bias=config.classifier_bias,
        activation=config.classifier_activation,
        norm=config.norm_eps,
        norm_bias=config.norm_bias,
        dropout_out=config.classifier_dropout,
        hf_modules=("head.dense", "head.norm", "classifier"),
    )


def _classifier_dropout(config: PretrainedConfig) -> float:
    """Return the dropout probability of the classifier, which architectures call by different names."""
    for name in ("classifier_dropout", "classifier_dropout_prob", "hidden_dropout_prob", "dropout"):
        value = getattr(config, name, None)
        if value is not None:
            return float(value)
    return 0.0

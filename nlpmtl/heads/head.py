"""Standard head: pooled or token hidden states to logits.

    logits = out(dropout(norm(activation(dense(dropout(h))))))

Symbols:
- h: pooled hidden state of a text, or hidden state of a token
- dense, activation, norm: optional layers, which `HeadConfig` selects
- out: linear layer with one output per logit
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.activations import ACT2FN

from nlpmtl.config import Pooling
from nlpmtl.errors import RunError
from nlpmtl.heads.head_config import (
    HeadConfig,
    question_answering_head_config,
    sequence_head_config,
    token_head_config,
)
from nlpmtl.heads.pooling import AttentionPooling

LoadStock = Callable[[str], tuple[PreTrainedModel, frozenset[str]]]
"""Name of a class of transformers -> the checkpoint as such a model, and the weights that it lacks."""
Outputs = Mapping[str, Tensor]
"""Outputs of a head by name: ``[sequences, ...]``, or ``[sequences, sequence_length, size]`` for outputs by token."""


class HeadInputs:
    """Inputs of a head: the hidden states of one task's sequences, with their mask, token ids and words.

    Tasks that read the same sequences share one object, so that each property is computed once for all of them.

    Args:
        hidden: last hidden states of the encoder, ``[sequences, sequence_length, width]``.
        mask: attention mask: 1 or True on tokens, 0 or False on padding, ``[sequences, sequence_length]``.
        input_ids: token ids, ``[sequences, sequence_length]``.
        targets: targets of the loss by name; None in prediction and export.
        words: position of the first token of each word, -1 for a word without one, ``[sequences, words]``; None if no
            task of the batch reads words.
        rows: indices of the sequences in the batch, ``[sequences]``; `mask`, `input_ids` and `words` are then those of
            the whole batch. Default: they are those of the sequences.
        dtype: precision of the head's weights; default: that of the hidden states.
    """

    def __init__(
        self,
        hidden: Tensor,
        mask: Tensor,
        input_ids: Tensor | None = None,
        *,
        targets: Mapping[str, Tensor] | None = None,
        words: Tensor | None = None,
        rows: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.targets = targets
        self._hidden, self._mask, self._input_ids, self._words, self._rows = hidden, mask, input_ids, words, rows
        self._dtype = hidden.dtype if dtype is None else dtype

    @cached_property
    def hidden(self) -> Tensor:
        """Last hidden states of the encoder, ``[sequences, sequence_length, width]``."""
        return self._hidden.to(self._dtype)

    @cached_property
    def mask(self) -> Tensor:
        """True on tokens, False on padding, ``[sequences, sequence_length]``."""
        return self._cut(self._mask).bool()

    @cached_property
    def input_ids(self) -> Tensor:
        """Token ids, ``[sequences, sequence_length]``."""
        if self._input_ids is None:
            raise ValueError("this batch has no token ids: HeadInputs was created without `input_ids`")
        return self._cut(self._input_ids)

    @cached_property
    def words(self) -> Tensor:
        """Position of the first token of each word, -1 for a word without one, ``[sequences, words]``.

        Raises:
            ValueError: the batch has no words, because the inputs are texts that were not split into words.
        """
        if self._words is None:
            raise ValueError("this batch has no words: its inputs are texts that were not split into words")
        return self._words if self._rows is None else self._words[self._rows]

    def at_words(self) -> Tensor:
        """Return the hidden states of the first token of each word, ``[sequences, words, width]``.

        A word without a token, where `words` is -1, gets the hidden states of the first token of the sequence.
        """
        index = self.words.clamp(min=0).unsqueeze(-1).expand(-1, -1, self._hidden.shape[-1])
        return self.hidden.gather(1, index)

    @cached_property
    def first(self) -> Tensor:
        """Hidden states of the first tokens, ``[sequences, width]``."""
        return self._hidden[:, 0].to(self._dtype)

    @cached_property
    def mean(self) -> Tensor:
        """Mean hidden states over tokens, ``[sequences, width]``."""
        hidden = self._hidden.to(self._dtype)
        weights = self._cut(self._mask).unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    @cached_property
    def max(self) -> Tensor:
        """Maximum of each dimension of the hidden states over tokens, ``[sequences, width]``."""
        return self.hidden.masked_fill(~self.mask.unsqueeze(-1), float("-inf")).amax(dim=1)

    def _cut(self, values: Tensor) -> Tensor:
        """Select the sequences from the values of a batch, and truncate them to the length of the hidden states."""
        return (values if self._rows is None else values[self._rows])[:, : self._hidden.shape[1]]


def named_outputs(outputs: Tensor | Outputs) -> Outputs:
    """Return the outputs of a head by name: a single tensor is named "logits"."""
    return {"logits": outputs} if isinstance(outputs, Tensor) else outputs


def check_outputs(outputs: Any, *, task: str, sequences: int) -> Outputs:
    """Return the outputs of a task's head by name.

    Args:
        outputs: what the head returned.
        task: name of the task.
        sequences: number of sequences that the head read.

    Raises:
        RunError: they are not a tensor, or tensors by name, whose first axis is that of the sequences.
    """
    named = named_outputs(outputs)
    if isinstance(named, Mapping) and all(isinstance(value, Tensor) for value in named.values()) and named:
        wrong = [name for name, value in named.items() if not value.dim() or len(value) != sequences]
        if not wrong:
            return named
        description = ", ".join(f"{name!r} has the shape {list(named[name].shape)}" for name in wrong)
    else:
        description = type(outputs).__name__
        if isinstance(outputs, Mapping):
            description = f"{{{', '.join(f'{name!r}: {type(value).__name__}' for name, value in outputs.items())}}}"
    raise RunError(
        f"task {task!r}: its head must return a tensor [sequences, ...], or tensors by name, for {sequences} "
        f"sequences; found: {description}"
    )


class Head(nn.Module):
    """Standard head of a task.

    Args:
        width: hidden size of the encoder.
        outputs: number of logits per text or token.
        config: layers of the head.
        level: "sequence" for one prediction per text, "token" for one per token.
        std: standard deviation of the initial weights, unless `config` has another; biases start at 0.
        seed: seed of the initial weights. They do not depend on other heads.
    """

    def __init__(
        self,
        *,
        width: int,
        outputs: int,
        config: HeadConfig,
        level: Literal["sequence", "token"],
        std: float = 0.02,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.level = config, level
        self.dropout_in, self.dropout_out = nn.Dropout(config.dropout_in), nn.Dropout(config.dropout_out)
        if config.dense:
            self.dense = nn.Linear(width, width, bias=config.bias)
            self.activation = ACT2FN[config.activation]
            if config.norm is not None:
                self.norm = nn.LayerNorm(width, eps=config.norm, bias=config.norm_bias)
        self.out = nn.Linear(width, outputs)
        if level == "sequence" and config.pooling == "attention":
            self.pooling = AttentionPooling(width)
        self._initialize(std, seed)

    def pool(self, inputs: HeadInputs) -> Tensor:
        """Return the pooled hidden states, ``[sequences, width]``; all hidden states if the level is "token"."""
        if self.level == "token":
            return inputs.hidden
        match self.config.pooling:
            case "first":
                return inputs.first
            case "mean":
                return inputs.mean
            case "max":
                return inputs.max
            case "attention":
                pooled: Tensor = self.pooling(inputs.hidden, inputs.mask)
                return pooled

    def forward(self, inputs: HeadInputs) -> Tensor:
        """Return logits, ``[sequences, outputs]``, or ``[sequences, sequence_length, outputs]`` for tokens."""
        x = self.pool(inputs)
        if self.config.dense:
            x = self.activation(self.dense(self.dropout_in(x)))
            if self.config.norm is not None:
                x = self.norm(x)
        logits: Tensor = self.out(self.dropout_out(x))
        return logits

    def load_fitting(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of a checkpoint whose names and shapes match those of the head."""
        current = self.state_dict()
        fitting = {n: value for n, value in weights.items() if n in current and value.shape == current[n].shape}
        self.load_state_dict({**current, **fitting})

    @torch.no_grad()
    def _initialize(self, std: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        stds = {"dense.weight": self.config.dense_std, "out.weight": self.config.out_std}
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                if not weight.is_meta:
                    self._draw(weight, std=stds.get(name) or std, generator=generator)
            elif name.endswith("bias"):
                weight.zero_()

    def _draw(self, weight: Tensor, *, std: float, generator: torch.Generator) -> None:
        if self.config.cutoff is None:
            weight.normal_(0.0, std, generator=generator)
        else:
            limit = self.config.cutoff * std
            nn.init.trunc_normal_(weight, 0.0, std, -limit, limit, generator=generator)


@dataclass(frozen=True)
class HeadContext:
    """Encoder, seed and pretrained weights for a new head. Torch is seeded before `Task.build_head` is called.

    Args:
        config: config of the encoder.
        seed: seed of the initial weights; it depends on the seed of the run and the name of the task.
        encoder: the encoder, for weight tying; do not register it as a submodule of the head.
        pretrained: weights of the checkpoint outside the encoder, by their names in `Head`; empty when a trained model
            is loaded.
        tokenizer: the tokenizer, for the ids of special tokens; None if the model is loaded without one.
        pooling: default pooling of the sequence heads of the model; None: that of the architecture.
        load_stock: loads the checkpoint with a class of transformers, given its name such as "AutoModelForMaskedLM",
            and returns the model and the names of the weights that the checkpoint lacks; None when a trained model is
            loaded.
    """

    config: PretrainedConfig
    seed: int = 0
    encoder: nn.Module | None = None
    pretrained: Mapping[str, Tensor] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerBase | None = None
    pooling: Pooling | None = None
    load_stock: LoadStock | None = None

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return int(self.config.hidden_size)

    def sequence_head(self, outputs: int, *, pooling: Pooling | None = None) -> nn.Module:
        """Return the architecture's head of ``…ForSequenceClassification``: one output vector per sequence.

        Args:
            outputs: size of the output vector.
            pooling: pooling of the hidden states; default: that of the model.
        """
        config = sequence_head_config(self.config)
        pooling = pooling or self.pooling
        return self._head(outputs, "sequence", config if pooling is None else replace(config, pooling=pooling))

    def token_head(self, outputs: int) -> nn.Module:
        """Return the architecture's head of ``…ForTokenClassification``: one output vector per token."""
        return self._head(outputs, "token", token_head_config(self.config))

    def question_answering_head(self) -> nn.Module:
        """Return the architecture's head of ``…ForQuestionAnswering``: the start and end logit of each token."""
        return self._head(2, "token", question_answering_head_config(self.config))

    def _head(self, outputs: int, level: Literal["sequence", "token"], config: HeadConfig) -> Head:
        sequence = sequence_head_config(self.config)
        std = getattr(self.config, "initializer_range", None) or 0.02
        head = Head(width=self.width, outputs=outputs, config=config, level=level, std=std, seed=self.seed)
        # A token head has pretrained weights only if its layers are those of the sequence head, as in ModernBERT.
        if level == "sequence" or config.hf_modules[:-1] == sequence.hf_modules[:-1]:
            head.load_fitting(self.pretrained)
        return head

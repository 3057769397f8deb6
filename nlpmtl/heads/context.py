"""The context from which a task type builds its head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from nlpmtl.heads.head import Head
from nlpmtl.heads.head_config import sequence_head_config, token_head_config


@dataclass(frozen=True)
class HeadContext:
    """Encoder, seed and pretrained weights for a head. Torch is seeded before `Task.build_head` is called.

    Args:
        config: config of the encoder.
        seed: seed of the initial weights; it depends on the seed of the run and the name of the task.
        encoder: the encoder, for weights to be tied to; never a submodule of the head.
        pretrained: weights of the checkpoint outside the encoder, by their names in `Head`; empty on loading.
        tokenizer: the tokenizer, for the ids of special tokens; None for a model that is loaded without one.
    """

    config: PretrainedConfig
    seed: int = 0
    encoder: nn.Module | None = None
    pretrained: Mapping[str, Tensor] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerBase | None = None

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return int(self.config.hidden_size)

    def sequence_head(self, outputs: int) -> nn.Module:
        """Return the head of ``…ForSequenceClassification`` of the architecture: a vector per sequence."""
        return self._head(outputs, "sequence")

    def token_head(self, outputs: int) -> nn.Module:
        """Return the head of ``…ForTokenClassification`` of the architecture: a vector per token."""
        return self._head(outputs, "token")

    def _head(self, outputs: int, level: Literal["sequence", "token"]) -> Head:
        sequence = sequence_head_config(self.config)
        config = sequence if level == "sequence" else token_head_config(self.config)
        std = getattr(self.config, "initializer_range", None) or 0.02
        head = Head(width=self.width, outputs=outputs, config=config, level=level, std=std, seed=self.seed)
        if (
            level == "sequence" or config.hf_modules[:-1] == sequence.hf_modules[:-1]
        ):  # its layers are those of the checkpoint
            head.load_fitting(self.pretrained)
        return head

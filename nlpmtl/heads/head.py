"""Standard head: pooled or token hidden states to logits.

    logits = out(dropout(norm(activation(dense(dropout(h))))))

Symbols:
- h: pooled hidden state of a text, or hidden state of a token
- dense, activation, norm: optional layers, as `HeadConfig` says
- out: linear layer with one output per logit
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from nlpmtl.heads.head_config import HeadConfig
from nlpmtl.heads.inputs import HeadInputs


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
        self._initialize(std, seed)

    def pool(self, inputs: HeadInputs) -> Tensor:
        """Return the pooled hidden states, ``[sequences, width]``; at the level of tokens all hidden states."""
        if self.level == "token":
            return inputs.hidden
        return inputs.first if self.config.pooling == "first" else inputs.mean

    def forward(self, inputs: HeadInputs) -> Tensor:
        """Return logits, ``[sequences, outputs]``, or ``[sequences, time, outputs]`` for tokens."""
        x = self.pool(inputs)
        if self.config.dense:
            x = self.activation(self.dense(self.dropout_in(x)))
            if self.config.norm is not None:
                x = self.norm(x)
        logits: Tensor = self.out(self.dropout_out(x))
        return logits

    def load_fitting(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of a checkpoint that the head has too, in the same size."""
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

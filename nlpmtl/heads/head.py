"""A head: from the hidden states of one task's rows to its logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from nlpmtl.heads.head_config import HeadConfig
from nlpmtl.heads.inputs import HeadInputs


class Head(nn.Module):
    """One task's last layers.

    Args:
        width: the encoder's hidden size.
        outputs: logits per text, or per token.
        shape: the layers between.
        level: "sequence" for one answer a text, "token" for one a token.
        std: the standard deviation of the first weights (biases start at 0), as the encoder's own, unless the shape has
            another.
        seed: of those first weights: a head starts the same whatever other heads there are.
    """

    def __init__(
        self,
        *,
        width: int,
        outputs: int,
        shape: HeadConfig,
        level: Literal["sequence", "token"],
        std: float = 0.02,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.level = shape, level
        self.drop_in, self.drop_out = nn.Dropout(shape.drop_in), nn.Dropout(shape.drop_out)
        if shape.dense:
            self.dense = nn.Linear(width, width, bias=shape.bias)
            self.activation = ACT2FN[shape.activation]
            if shape.norm is not None:
                self.norm = nn.LayerNorm(width, eps=shape.norm, bias=shape.norm_bias)
        self.out = nn.Linear(width, outputs)
        self._initialise(std, seed)

    def pool(self, inputs: HeadInputs) -> Tensor:
        """Return what the layers read: ``[sequences, width]``, or for tokens the hidden states."""
        if self.level == "token":
            return inputs.hidden
        return inputs.first if self.shape.pooling == "first" else inputs.mean

    def forward(self, inputs: HeadInputs) -> Tensor:
        """Return logits, ``[sequences, outputs]``, or ``[sequences, time, outputs]`` for tokens."""
        x = self.pool(inputs)
        if self.shape.dense:
            x = self.activation(self.dense(self.drop_in(x)))
            if self.shape.norm is not None:
                x = self.norm(x)
        logits: Tensor = self.out(self.drop_out(x))
        return logits

    def load_fitting(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of a checkpoint that the head has too, in the same size."""
        current = self.state_dict()
        fitting = {n: value for n, value in weights.items() if n in current and value.shape == current[n].shape}
        self.load_state_dict({**current, **fitting})

    @torch.no_grad()
    def _initialise(self, std: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        stds = {"dense.weight": self.shape.dense_std, "out.weight": self.shape.out_std}
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                if not weight.is_meta:
                    self._draw(weight, std=stds.get(name) or std, generator=generator)
            elif name.endswith("bias"):
                weight.zero_()

    def _draw(self, weight: Tensor, *, std: float, generator: torch.Generator) -> None:
        if self.shape.cutoff is None:
            weight.normal_(0.0, std, generator=generator)
        else:
            limit = self.shape.cutoff * std
            nn.init.trunc_normal_(weight, 0.0, std, -limit, limit, generator=generator)

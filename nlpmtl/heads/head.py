"""A head: from the hidden states of one task's rows to its logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from nlpmtl.heads.shape import HeadShape


class Head(nn.Module):
    """One task's last layers.

    Args:
        width: the encoder's hidden size.
        outputs: logits per text, or per wordpiece.
        shape: the layers between.
        level: "sequence" for one answer a text, "token" for one a wordpiece.
        std: the standard deviation of the first weights (biases start at 0), as the encoder's own.
        seed: of those first weights: a head starts the same whatever other heads there are.
    """

    def __init__(
        self,
        *,
        width: int,
        outputs: int,
        shape: HeadShape,
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

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Logits of one task's rows.

        Args:
            hidden: the encoder's last hidden states, ``[part, time, width]``.
            mask: 1 on wordpieces, 0 on padding, ``[part, time]``.

        Returns:
            ``[part, outputs]``, or ``[part, time, outputs]`` at the level of tokens.
        """
        x = hidden if self.level == "token" else self._pool(hidden, mask)
        if self.shape.dense:
            x = self.activation(self.dense(self.drop_in(x)))
            if self.shape.norm is not None:
                x = self.norm(x)
        logits: Tensor = self.out(self.drop_out(x))
        return logits

    def _pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.shape.pooling == "first":
            return hidden[:, 0]
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    @torch.no_grad()
    def _initialise(self, std: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                if not weight.is_meta:
                    weight.normal_(0.0, std, generator=generator)
            elif name.endswith("bias"):
                weight.zero_()

"""Head of text embeddings: pooled hidden states, normalised to length 1.

    z = p / ‖p‖

Symbols:
- p: pooled hidden states of a text
- z: its embedding, so that the dot product of two embeddings is their cosine similarity

Example:
    >>> import torch
    >>> from nlpmtl.heads import EmbeddingHead, HeadInputs
    >>> hidden, mask = torch.tensor([[[0.0, 3.0], [6.0, 5.0]]]), torch.ones(1, 2)
    >>> EmbeddingHead(width=2, pooling="mean")(HeadInputs(hidden, mask))["embedding"]
    tensor([[0.6000, 0.8000]])
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.config import Pooling
from nlpmtl.heads.head import HeadInputs, Outputs
from nlpmtl.heads.pooling import AttentionPooling


class EmbeddingHead(nn.Module):
    """Pooling and normalisation. It has parameters only if the pooling is "attention".

    Args:
        width: hidden size of the encoder.
        pooling: pooling of the hidden states of the tokens.
    """

    def __init__(self, width: int, *, pooling: Pooling) -> None:
        super().__init__()
        self.mode: Pooling = pooling
        if pooling == "attention":
            self.pooling = AttentionPooling(width)

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return "embedding", ``[sequences, width]``, each of length 1."""
        if self.mode == "attention":
            pooled: Tensor = self.pooling(inputs.hidden, inputs.mask)
        else:
            pooled = {"first": lambda: inputs.first, "mean": lambda: inputs.mean, "max": lambda: inputs.max}[
                self.mode
            ]()
        return {"embedding": functional.normalize(pooled, dim=-1)}

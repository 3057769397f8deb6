"""Hard parameter sharing (Caruana, 1997): one encoder for all tasks.

    h = f(x; θ)        outputs_t = g_t(h; φ_t)

Symbols:
- x: batch of token sequences
- f: encoder with the parameters θ, which all tasks share
- h: last hidden states
- g_t: head of task t with the parameters φ_t

A row passes through the encoder once, for all tasks that read it.

References:
    Caruana (1997), Multitask Learning, Machine Learning 28, https://doi.org/10.1023/A:1007379606734

Example:
    >>> import torch
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import Hard
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = Hard(encoder=encoder, tasks=("topic", "sentiment"))
    >>> inputs = {"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]]), "attention_mask": torch.ones(2, 3)}
    >>> hidden = sharing(inputs, {"topic": torch.tensor([0, 1]), "sentiment": torch.tensor([1])})
    >>> {task: tuple(states.shape) for task, states in hidden.items()}
    {'topic': (2, 3, 8), 'sentiment': (1, 3, 8)}
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from nlpmtl.config.sharing import SharingOptions
from nlpmtl.kernels.cuda_graphs import GraphedEncoder
from nlpmtl.kernels.packing import hidden_states
from nlpmtl.model.sharing.base import Sharing
from nlpmtl.registry import SHARINGS


@SHARINGS.register("hard", SharingOptions)
class Hard(Sharing):
    """Hard parameter sharing: one encoder for all tasks (Caruana, 1997).

    Args:
        encoder: pretrained encoder.
        tasks: names of the tasks.
    """

    graphed: GraphedEncoder | None = None
    """The encoder with CUDA graphs, after `capture_cuda_graphs`."""

    def standalone_encoder(self, task: str) -> PreTrainedModel | None:
        return self.encoder

    def forward(self, inputs: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return hidden_states(self.encoder, inputs, rows, graphed=self.graphed)

    def capture_cuda_graphs(self, *, rows: int, max_length: int) -> None:
        self.graphed = GraphedEncoder(self.encoder, rows=rows, max_length=max_length)

"""Soft parameter sharing with an L2 penalty (after Duong et al., 2015).

Each task has a copy of the upper layers, with an L2 penalty towards their mean.

    penalty = λ · Σ_t ‖W_t − W̄‖²        W̄ = 1/K · Σ_t W_t

Symbols:
- W_t: all parameters of the copies of task t
- W̄: mean over the K tasks
- λ: option `strength`, ≥ 0; 0 leaves the copies independent

The penalty is added to the loss once per step.

Departures from the paper:
- Duong et al. penalise the distance of two networks, λ ‖W_source − W_target‖² (equation 4). Here any number of tasks is
  penalised for the distance to their mean; for two tasks the sum is half of the paper's.

References:
    Duong, Cohn, Bird and Cook (2015), Low Resource Dependency Parsing: Cross-lingual Parameter Sharing in a Neural
        Network Parser, ACL, https://aclanthology.org/P15-2139

Example:
    >>> from transformers import BertConfig, BertModel
    >>> from nlpmtl.model.sharing import SoftL2
    >>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    >>> encoder = BertModel(config, add_pooling_layer=False)
    >>> sharing = SoftL2(encoder=encoder, tasks=("topic", "sentiment"), shared=0, strength=0.01)
    >>> sharing.penalty().item()  # the copies are equal at the start
    0.0
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nlpmtl.config.sharing import SoftL2Options
from nlpmtl.model.sharing.split_encoder import Layers
from nlpmtl.registry import SHARINGS


@SHARINGS.register("soft_l2", SoftL2Options)
class SoftL2(Layers):
    """Soft parameter sharing: task-specific upper layers with an L2 penalty towards their mean.

    Args:
        encoder: pretrained encoder, whose upper layers are copied for each task.
        tasks: names of the tasks.
        shared: number of shared layers, from 0 to all but one.
        strength: weight λ of the penalty, ≥ 0.

    Raises:
        ModelError: all layers would be shared, or the architecture is not supported.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int, strength: float) -> None:
        super().__init__(encoder=encoder, tasks=tasks, shared=shared)
        self.strength = strength

    def penalty(self) -> Tensor | None:
        distances = []
        for copies in zip(*(self.task_parameters(task).values() for task in self.tasks), strict=True):
            stacked = torch.stack(copies)
            distances.append((stacked - stacked.mean(dim=0)).pow(2).sum())
        return self.strength * torch.stack(distances).sum()

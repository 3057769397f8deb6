"""A copy of the upper layers for each task, and a spring between each copy and their mean.

References:
    Duong et al. (2015), Low Resource Dependency Parsing: Cross-lingual Parameter Sharing in a Neural Network Parser,
    equation 4: λ ‖W_source − W_target‖². For more than two tasks the distance here is the one to their mean; for two,
    the sum over both is half of the paper's.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from nlpmtl.model.sharing.base import SharingOptions
from nlpmtl.model.sharing.layers import Layers
from nlpmtl.registry import SHARINGS


class SoftL2Options(SharingOptions):
    """Options of `SoftL2`."""

    shared: int = Field(0, ge=0)
    """How many layers, from the lowest up, all tasks share; of those above each task has a copy."""
    strength: float = Field(0.01, ge=0)
    """What the squared distances are multiplied with; 0 leaves the copies free."""


@SHARINGS.register("soft_l2", SoftL2Options)
class SoftL2(Layers):
    """A copy of the upper layers for each task; copies that part from their mean are penalised.

    The penalty is strength · Σ_t ‖W_t − mean_s W_s‖², over all weights of the copies.

    Args:
        encoder: the pretrained encoder; the copies start as its layers are.
        tasks: the names of the tasks.
        shared: how many layers are shared, from 0 to all but one.
        strength: what the squared distances are multiplied with, ≥ 0.

    Raises:
        ModelError: the encoder has no more layers, or none that can be copied one by one.
    """

    def __init__(self, *, encoder: PreTrainedModel, tasks: tuple[str, ...], shared: int, strength: float) -> None:
        super().__init__(encoder=encoder, tasks=tasks, shared=shared)
        self.strength = strength

    def penalty(self) -> Tensor | None:
        distances = []
        for copies in zip(*(self.own(task).values() for task in self.tasks), strict=True):
            stacked = torch.stack(copies)
            distances.append((stacked - stacked.mean(dim=0)).pow(2).sum())
        return self.strength * torch.stack(distances).sum()

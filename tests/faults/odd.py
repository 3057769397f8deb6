"""A plugin: regression that goes wrong on purpose where a label is 9, or where too many rows come at once."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from nlpmtl.data import TaskBatch
from nlpmtl.heads import Outputs
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Regression
from tests.faults.numbers import KIND, ODD


@TASKS.register(KIND)
class Odd(Regression):
    """The targets are not standardised, so that a 9 stays one."""

    kind = KIND

    how: Literal["nan", "inf", "gradient", "memory"]
    """What goes wrong: the loss is nan or inf, the gradient alone is nan, or memory runs out."""

    def fit(self, values: Any) -> None:
        pass

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        loss, labels = super().loss(outputs, batch), batch.targets["label"]
        if self.how == "memory":
            if len(labels) > 2:
                torch.empty(1 << 60)  # the allocator says no
            return loss
        if not bool((labels == ODD).any()):
            return loss
        if self.how == "gradient":
            return loss + (outputs["logits"].sum() * 0).sqrt()
        return loss * float(self.how)

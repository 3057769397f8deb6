"""Plugin: a regression that fails on purpose, for a label of 9 or for more than two rows at once."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from nlpmtl.data import TaskBatch
from nlpmtl.heads import Outputs
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Regression
from tests.faults.non_finite import FAULTY_LABEL, KIND


@TASKS.register(KIND)
class FaultyRegression(Regression):
    """Regression without standardised targets, so that a label of 9 stays 9."""

    kind = KIND

    how: Literal["nan", "inf", "gradient", "memory"]
    """The fault: a loss of nan or inf, a finite loss with a gradient of nan, or out of memory."""

    def fit(self, values: Any) -> None:
        pass

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        loss, labels = super().loss(outputs, batch), batch.targets["label"]
        if self.how == "memory":
            if len(labels) > 2:
                torch.empty(1 << 60)  # raises an out-of-memory error
            return loss
        if not bool((labels == FAULTY_LABEL).any()):
            return loss
        if self.how == "gradient":
            return loss + (outputs["logits"].sum() * 0).sqrt()
        return loss * float(self.how)

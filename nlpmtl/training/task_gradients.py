"""Task gradients: one gradient per task of a step, their Gramian, and their weighted sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from nlpmtl.training.distributed import all_reduce_sum
from nlpmtl.training.fsdp import to_local

Gradient = Sequence[Tensor | None]
"""Gradient of each parameter; None for a parameter that the task does not use."""


def inner_products(gradients: Sequence[Gradient], *, indices: Sequence[int]) -> NDArray[np.float64]:
    """Return the inner products of task gradients over some of the parameters, ``[tasks, tasks]``.

    Args:
        gradients: one gradient per task.
        indices: indices of the parameters; those of a sharded model are summed over all ranks.
    """
    unsharded, sharded = np.zeros((2, len(gradients), len(gradients)))
    device = None
    for index in indices:
        tasks = [task for task, gradient in enumerate(gradients) if gradient[index] is not None]
        present = [tensor for gradient in gradients if (tensor := gradient[index]) is not None]
        if present:
            stacked = torch.stack([to_local(tensor).flatten() for tensor in present])
            is_sharded = isinstance(present[0], DTensor)
            device = stacked.device if is_sharded else device
            products = (stacked @ stacked.T).double().cpu().numpy()
            (sharded if is_sharded else unsharded)[np.ix_(tasks, tasks)] += products
    if device is not None:
        unsharded += all_reduce_sum(torch.from_numpy(sharded).to(device)).cpu().numpy()
    return unsharded


@dataclass
class TaskGradients:
    """The gradients of several tasks, each summed over all ranks.

    Args:
        parameters: trained parameters, in the same order on all ranks.
    """

    parameters: Sequence[nn.Parameter]
    by_task: list[Gradient] = field(init=False, default_factory=list)

    def take(self) -> None:
        """Move the gradients of the parameters here, as those of the next task."""
        self.by_task.append([parameter.grad for parameter in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None

    def gramian(self) -> NDArray[np.float64]:
        """Return the inner products of the tasks over the parameters that several of them use, ``[tasks, tasks]``."""
        users = [sum(gradient is not None for gradient in of_tasks) for of_tasks in zip(*self.by_task, strict=True)]
        return inner_products(self.by_task, indices=[index for index, count in enumerate(users) if count > 1])

    def set_weighted_sum(self, weights: Sequence[float]) -> None:
        """Set `Parameter.grad` to the weighted sum over the tasks; a parameter of a single task keeps its gradient."""
        for parameter, of_tasks in zip(self.parameters, zip(*self.by_task, strict=True), strict=True):
            present = [(weight, g) for weight, g in zip(weights, of_tasks, strict=True) if g is not None]
            if len(present) == 1:
                parameter.grad = present[0][1]
            elif present:
                weight, gradient = present[0]
                total = gradient.mul_(weight)
                for weight, gradient in present[1:]:
                    total.add_(gradient, alpha=weight)
                parameter.grad = total

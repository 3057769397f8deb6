"""One gradient for each task of a step, what they say of each other, and their weighted sum."""

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
"""Of each parameter; None where a task does not reach it."""


def inner_products(gradients: Sequence[Gradient], *, places: Sequence[int]) -> NDArray[np.float64]:
    """Of each two gradients over some of the parameters, ``[tasks, tasks]``; of slices over all processes."""
    whole, slices = np.zeros((2, len(gradients), len(gradients)))
    device = None
    for at in places:
        own = [gradient[at] for gradient in gradients]
        there = [i for i, one in enumerate(own) if one is not None]
        if there:
            stacked = torch.stack([to_local(one).flatten() for one in own if one is not None])
            in_slices = isinstance(own[there[0]], DTensor)
            device = stacked.device if in_slices else device
            (slices if in_slices else whole)[np.ix_(there, there)] += (stacked @ stacked.T).double().cpu().numpy()
    if device is not None:
        whole += all_reduce_sum(torch.from_numpy(slices).to(device)).cpu().numpy()
    return whole


@dataclass
class TaskGradients:
    """The gradients of several tasks, each added up over all processes.

    Args:
        parameters: what is trained, the same in all processes.
    """

    parameters: Sequence[nn.Parameter]
    of_tasks: list[Gradient] = field(init=False, default_factory=list)

    def take(self) -> None:
        """Take the gradients that the parameters have, as those of the next task, and leave them without."""
        self.of_tasks.append([parameter.grad for parameter in self.parameters])
        for parameter in self.parameters:
            parameter.grad = None

    def gramian(self) -> NDArray[np.float64]:
        """The tasks' inner products over the parameters that more than one of them reaches, ``[tasks, tasks]``."""
        reached = (sum(gradient is not None for gradient in own) for own in zip(*self.of_tasks, strict=True))
        return inner_products(self.of_tasks, places=[at for at, many in enumerate(reached) if many > 1])

    def put(self, weights: Sequence[float]) -> None:
        """Give the parameters the weighted sum; those that one task alone reaches, its own gradient."""
        for parameter, own in zip(self.parameters, zip(*self.of_tasks, strict=True), strict=True):
            reached = [(w, gradient) for w, gradient in zip(weights, own, strict=True) if gradient is not None]
            if len(reached) == 1:
                parameter.grad = reached[0][1]
            elif reached:
                first, gradient = reached[0]
                total = gradient.mul_(first)
                for weight, gradient in reached[1:]:
                    total.add_(gradient, alpha=weight)
                parameter.grad = total

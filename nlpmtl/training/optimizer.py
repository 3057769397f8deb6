"""AdamW with decay on weight matrices alone, and learning rates as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch import nn
from torch.optim import AdamW

Schedule = Callable[[int], float]
"""The step, counted from 0, to the factor of the learning rates."""


def build_optimizer(model: nn.Module, *, lr: float, head_lr: float, weight_decay: float) -> AdamW:
    """Fused AdamW (Loshchilov and Hutter 2019) over what is trained.

    Args:
        model: a `MultiTaskModel`; everything under its ``heads`` is a head.
        lr: the encoder's highest learning rate.
        head_lr: the heads' highest learning rate.
        weight_decay: on matrices; biases and normalisation, which are vectors, are not decayed.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("heads."), parameter.dim() > 1), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": head_lr if head else lr,
                "initial_lr": head_lr if head else lr,
                "weight_decay": weight_decay if matrix else 0.0,
            }
            for (head, matrix), parameters in sorted(groups.items())
        ],
        fused=True,
    )


def build_schedule(kind: Literal["linear", "cosine", "constant"], *, total: int, warmup: float) -> Schedule:
    """The factor of the learning rates at each step.

    It rises linearly over ``warmup · total`` steps (the first step is not at 0), then falls to 0 linearly or along half
    a cosine, or stays.
    """
    rise = math.ceil(warmup * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        done = (step - rise) / max(1, total - rise)
        if kind == "linear":
            return 1.0 - done
        return 0.5 * (1.0 + math.cos(math.pi * done)) if kind == "cosine" else 1.0

    return factor

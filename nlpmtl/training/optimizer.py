"""AdamW with weight decay on matrices only, and learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch import nn
from torch.optim import AdamW

Schedule = Callable[[int], float]
"""Step, counted from 0 → factor of the learning rates."""


def build_optimizer(model: nn.Module, *, lr: float, head_lr: float, weight_decay: float) -> AdamW:
    """Build fused AdamW (Loshchilov and Hutter, 2019) over the parameters that require a gradient.

    Args:
        model: a `MultiTaskModel`; parameters under its ``heads`` belong to heads.
        lr: maximum learning rate of the encoder.
        head_lr: maximum learning rate of the heads.
        weight_decay: weight decay of matrices; biases and normalisation, which are vectors, have none.
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
    """Build a learning-rate schedule.

    The factor rises linearly over the first ``warmup · total`` steps (from above 0), then falls to 0 linearly or along
    half a cosine, or stays at 1.

    Args:
        kind: shape of the schedule after the warm-up.
        total: optimizer steps of the run.
        warmup: share of the steps that are warm-up, from 0 to 1.
    """
    warmup_steps = math.ceil(warmup * total)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(1, total - warmup_steps)
        if kind == "linear":
            return 1.0 - progress
        return 0.5 * (1.0 + math.cos(math.pi * progress)) if kind == "cosine" else 1.0

    return factor

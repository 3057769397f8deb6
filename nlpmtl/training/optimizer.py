"""AdamW with weight decay on matrices only."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW


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

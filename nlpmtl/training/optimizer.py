"""Optimizers: AdamW and SGD of PyTorch, and the parameter groups that every optimizer gets.

An optimizer is a `torch.optim.Optimizer` that is registered in `nlpmtl.registry.OPTIMIZERS`. `[optimizer]` of a run
file names it by `kind`. It is called with the parameter groups, which set ``lr`` and ``weight_decay``, and with its
options as keyword arguments:

>>> import torch
>>> from nlpmtl.registry import OPTIMIZERS
>>> from nlpmtl.training import build_optimizer
>>> options = OPTIMIZERS.parse({"kind": "adamw", "betas": [0.9, 0.98]})
>>> optimizer = build_optimizer(torch.nn.Linear(2, 1), options, lr=1e-3, head_lr=1e-3, weight_decay=0.01)
>>> [group["weight_decay"] for group in optimizer.param_groups]
[0.0, 0.01]
"""

from __future__ import annotations

from typing import Any

from torch import nn, optim

from nlpmtl.config import AdamWOptions, SgdOptions
from nlpmtl.registry import OPTIMIZERS, KindOptions


@OPTIMIZERS.register("adamw", AdamWOptions)
class AdamW(optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019); the fused implementation of PyTorch.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        θ ← θ − η λ θ − η · (m / (1 − β₁ᵏ)) / (√(v / (1 − β₂ᵏ)) + ε)

    Symbols:
    - θ: parameter; g: its gradient, after clipping; m, v: moving averages of g and g², which start at 0
    - η: learning rate of the step; λ: weight decay; k: number of updates of the parameter, from 1

    References:
        Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization, ICLR, algorithm 2,
            https://arxiv.org/abs/1711.05101

    Args:
        params: parameter groups.
        betas: β₁ and β₂, from 0 to below 1.
        eps: ε > 0.
    """

    def __init__(self, params: Any, *, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, betas=betas, eps=eps, fused=True)


@OPTIMIZERS.register("sgd", SgdOptions)
class Sgd(optim.SGD):
    """Stochastic gradient descent with momentum (Sutskever et al., 2013), as in PyTorch.

        d = g + λ θ        b ← μ b + d        θ ← θ − η b        with Nesterov momentum: θ ← θ − η (d + μ b)

    Symbols:
    - θ: parameter; g: its gradient, after clipping; b: momentum buffer, d in the first update
    - η: learning rate of the step; λ: weight decay; μ: momentum

    Departure from the paper: the learning rate multiplies the buffer, not each gradient in it, so a schedule affects
    the whole buffer at once. The learning rate has to be much larger than that of AdamW, about 0.01 to 0.1.

    References:
        Sutskever, Martens, Dahl and Hinton (2013), On the importance of initialization and momentum in deep learning,
            ICML, equations 1 to 4, https://proceedings.mlr.press/v28/sutskever13.html

    Args:
        params: parameter groups.
        momentum: μ, from 0 to below 1.
        nesterov: whether Nesterov momentum is used, which needs μ > 0.
    """

    def __init__(self, params: Any, *, momentum: float, nesterov: bool) -> None:
        super().__init__(params, lr=0.0, momentum=momentum, nesterov=nesterov)  # groups set their own rates


def build_optimizer(
    model: nn.Module, options: KindOptions, *, lr: float, head_lr: float, weight_decay: float
) -> optim.Optimizer:
    """Build an optimizer over the parameters of a model that require a gradient.

    Args:
        model: a `MultiTaskModel`; parameters under its ``heads`` belong to heads.
        options: options of a registered optimizer.
        lr: maximum learning rate of the encoder.
        head_lr: maximum learning rate of the heads.
        weight_decay: weight decay of matrices; biases and normalisation, which are vectors, have none.

    Raises:
        TypeError: the registered class is not a `torch.optim.Optimizer`.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("heads."), parameter.dim() > 1), []).append(parameter)
    params = [
        {
            "params": parameters,
            "lr": head_lr if head else lr,
            "initial_lr": head_lr if head else lr,
            "weight_decay": weight_decay if matrix else 0.0,
        }
        for (head, matrix), parameters in sorted(groups.items())
    ]
    return OPTIMIZERS.build(options, optim.Optimizer, params=params)

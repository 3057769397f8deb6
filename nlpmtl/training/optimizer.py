"""Optimizers: AdamW and SGD of PyTorch, and the parameter groups for all optimizers.

An optimizer is a subclass of `torch.optim.Optimizer` that is registered in `nlpmtl.registry.OPTIMIZERS`. The key `kind`
of `[optimizer]` in a run file selects it. The class is called with the parameter groups, which set ``lr`` and
``weight_decay``, and with its options as keyword arguments:

>>> import torch
>>> from nlpmtl.registry import OPTIMIZERS
>>> from nlpmtl.training import build_optimizer
>>> options = OPTIMIZERS.parse({"kind": "adamw", "betas": [0.9, 0.98]})
>>> optimizer = build_optimizer(torch.nn.Linear(2, 1), options, lr=1e-3, head_lr=1e-3, weight_decay=0.01)
>>> [group["weight_decay"] for group in optimizer.param_groups]
[0.0, 0.01]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn, optim

from nlpmtl.config import AdamWOptions, SgdOptions
from nlpmtl.model import MultiTaskModel, parameter_depths
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
        super().__init__(params, lr=0.0, momentum=momentum, nesterov=nesterov)  # each group sets its learning rate


def build_optimizer(
    model: nn.Module,
    options: KindOptions,
    *,
    lr: float,
    head_lr: float,
    weight_decay: float,
    task_lrs: Mapping[str, float] = MappingProxyType({}),
    layer_decay: float = 1.0,
) -> optim.Optimizer:
    """Build an optimizer over the parameters of a model that require a gradient.

    Parameters with the same learning rate and weight decay form a group; the encoder and the heads have separate
    groups. The first group has the largest learning rate of the encoder.

    Args:
        model: a `MultiTaskModel`. Parameters of its ``heads`` belong to heads, unless they are also parameters of the
            encoder (tied embeddings).
        options: options of a registered optimizer.
        lr: maximum learning rate of the encoder.
        head_lr: maximum learning rate of the heads. A head whose attribute ``pretrained`` is true has `lr` instead.
        weight_decay: weight decay of matrices. Biases and normalisation weights, which are vectors, are not decayed.
        task_lrs: maximum learning rate of the heads of some tasks, instead of `head_lr`.
        layer_decay: factor ξ of layer-wise learning-rate decay, see `layer_learning_rates`.

    Raises:
        TypeError: the registered class is not a `torch.optim.Optimizer`.
        ConfigError: `layer_decay` is below 1, and the architecture of the encoder is not supported.
    """
    encoder_lr = layer_learning_rates(model, lr=lr, decay=layer_decay)
    head_lrs = {id(p): lr for head in _pretrained_heads(model) for p in head.parameters()}
    head_lrs |= {id(p): task_lr for task, task_lr in task_lrs.items() for p in model.head(task).parameters()}  # type: ignore[operator]
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = name.startswith("heads.")
            parameter_lr = head_lrs.get(id(parameter), head_lr) if in_head else encoder_lr(name)
            groups.setdefault((in_head, -parameter_lr, parameter.dim() > 1), []).append(parameter)
    params = [
        {
            "params": parameters,
            "lr": -negative_lr,
            "initial_lr": -negative_lr,
            "weight_decay": weight_decay if is_matrix else 0.0,
        }
        for (_, negative_lr, is_matrix), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    return OPTIMIZERS.build(options, optim.Optimizer, params=params)


def _pretrained_heads(model: nn.Module) -> list[nn.Module]:
    """Return the heads whose weights come from a checkpoint. They have the learning rate of the encoder."""
    heads = getattr(model, "heads", None)
    return [head for head in heads.values() if getattr(head, "pretrained", False)] if heads is not None else []


def layer_learning_rates(model: nn.Module, *, lr: float, decay: float) -> Callable[[str], float]:
    """Layer-wise learning-rate decay, or discriminative fine-tuning (Howard and Ruder, 2018).

        lr_l = lr · ξ^(L − l)

    Symbols:
    - lr_l: learning rate of layer l, from 1 to L, with all parameters that a sharing scheme adds to it; l = 0 for the
      embeddings
    - ξ: factor, above 0 and at most 1; with 1 all layers have the same learning rate

    Parameters of a sharing scheme that belong to no layer have the learning rate lr.

    Howard and Ruder use ξ = 1 / 2.6; ELECTRA (Clark et al., 2020) uses 0.8 and 0.9. The code of ELECTRA and of BEiT
    counts the head as layer L + 1 with the learning rate lr; here the heads have a separate learning rate.

    References:
        Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification, ACL, section 3.2,
            https://aclanthology.org/P18-1031
        Clark, Luong, Le and Manning (2020), ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
            Generators, ICLR, appendix B, https://arxiv.org/abs/2003.10555

    Args:
        model: a `MultiTaskModel` if `decay` is below 1.
        lr: learning rate of the last layer.
        decay: ξ.

    Returns:
        A function from the name of a parameter outside the heads to its learning rate.

    Raises:
        ConfigError: the architecture of the encoder is not supported.
    """
    lrs: dict[str, float] = {}
    if decay < 1:
        assert isinstance(model, MultiTaskModel)
        depths = parameter_depths(model.sharing.encoder, key="train.layer_decay")
        last = max(depths.values())
        lrs = {f"sharing.encoder.{name}": lr * decay ** (last - depth) for name, depth in depths.items()}
    return lambda name: lrs.get(name, lr)

"""Options of the optimizers.

They are separate from the optimizers, which are PyTorch classes, so that a config is validated without importing torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from nlpmtl.registry import OPTIMIZERS, KindOptions

Beta = Annotated[float, Field(strict=True, ge=0, lt=1)]


class OptimizerOptions(KindOptions):
    """Base class of the options of optimizers.

    Learning rates, weight decay, schedule and clipping are keys of `[train]`, because every optimizer has them.
    """

    resumes_sharded: ClassVar[bool] = False
    """Whether a run with FSDP that is resumed computes the same bits as an uninterrupted one."""
    normalizes_updates: ClassVar[bool] = False
    """Whether the size of an update is the learning rate whatever the scale of the gradient, as with Adam."""


class AdamWOptions(OptimizerOptions):
    """Options of `AdamW`."""

    other_names: ClassVar[str] = "adam adamw_torch adamw_torch_fused adamw_hf"
    resumes_sharded: ClassVar[bool] = True
    normalizes_updates: ClassVar[bool] = True
    other_keys: ClassVar[Mapping[str, str]] = {
        "betas": "beta beta1 beta2 beta_1 beta_2 adam_beta1 adam_beta2 adam_betas",
        "eps": "epsilon adam_epsilon adam_eps",
    }

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay rates β₁ and β₂ of the moving averages of the gradient and of its square."""
    eps: float = Field(1e-8, gt=0)
    """ε, which is added to the denominator."""


class SgdOptions(OptimizerOptions):
    """Options of `Sgd`."""

    other_names: ClassVar[str] = "momentum nesterov stochastic_gradient_descent"
    other_keys: ClassVar[Mapping[str, str]] = {
        "momentum": "sgd_momentum beta mu",
    }

    momentum: Beta = 0.9
    """Momentum μ; 0: none."""
    nesterov: bool = False
    """Nesterov momentum."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs a `momentum` above 0")
        return self


OPTIMIZERS.register_lazily("adamw", AdamWOptions, module="nlpmtl.training.optimizer")
OPTIMIZERS.register_lazily("sgd", SgdOptions, module="nlpmtl.training.optimizer")

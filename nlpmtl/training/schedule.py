"""Learning-rate schedules: the factor of the learning rates in each step.

A schedule is a subclass of `Schedule` that is registered in `nlpmtl.registry.SCHEDULES`. `train.schedule` of a run file
names it. It is a function of the step, so a checkpoint needs no state of it:

>>> from nlpmtl.config import parse_schedule
>>> from nlpmtl.training import build_schedule
>>> schedule = build_schedule(parse_schedule({"kind": "polynomial", "power": 2.0}), total=4, warmup=0.0)
>>> [schedule(step) for step in range(4)]
[1.0, 0.5625, 0.25, 0.0625]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction

from nlpmtl.config.schedule import (
    ConstantOptions,
    CosineOptions,
    InverseSqrtOptions,
    LinearOptions,
    PolynomialOptions,
)
from nlpmtl.registry import SCHEDULES, KindOptions


class Schedule(ABC):
    """A linear warm-up, and a function f after it.

        lr_k = lr · (k + 1) / (w + 1) for k < w        lr_k = lr · f(k) for k ≥ w

    Symbols:
    - k: step, counted from 0; T: optimizer steps of the run
    - w: steps of the warm-up: `train.warmup` times T, rounded up
    - lr: peak learning rate of a parameter; lr_k: its learning rate in step k
    - f: factor of the schedule, above 0 and at most 1
    """

    @abstractmethod
    def factor(self, step: int, *, warmup: int, total: int) -> float:
        """Return f(k), which depends on the arguments only.

        Args:
            step: k, from `warmup` to below `total`.
            warmup: w, number of steps of the warm-up.
            total: T, number of steps of the run.
        """


@SCHEDULES.register("linear", LinearOptions)
class Linear(Schedule):
    """Linear decay to 0, as for BERT (Devlin et al., 2019).

        f(k) = 1 − (k − w) / (T − w)

    References:
        Devlin, Chang, Lee and Toutanova (2019), BERT: Pre-training of Deep Bidirectional Transformers for Language
            Understanding, NAACL, appendix A.2, https://aclanthology.org/N19-1423
    """

    def factor(self, step: int, *, warmup: int, total: int) -> float:
        return 1.0 - _progress(step, warmup=warmup, total=total)


@SCHEDULES.register("cosine", CosineOptions)
class Cosine(Schedule):
    """Decay to 0 along half a cosine (Loshchilov and Hutter, 2017), without restarts.

        f(k) = ½ (1 + cos(π (k − w) / (T − w)))

    References:
        Loshchilov and Hutter (2017), SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR, equation 5,
            https://arxiv.org/abs/1608.03983
    """

    def factor(self, step: int, *, warmup: int, total: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * _progress(step, warmup=warmup, total=total)))


@SCHEDULES.register("constant", ConstantOptions)
class Constant(Schedule):
    """No decay after the warm-up: f(k) = 1."""

    def factor(self, step: int, *, warmup: int, total: int) -> float:
        return 1.0


@SCHEDULES.register("polynomial", PolynomialOptions)
class Polynomial(Schedule):
    """Polynomial decay to 0, the "poly" schedule (Chen et al., 2018).

        f(k) = (1 − (k − w) / (T − w))ᵖ

    Symbols:
    - p: option `power`. The paper uses 0.9. Above 1, the learning rate falls faster at first.

    References:
        Chen, Papandreou, Kokkinos, Murphy and Yuille (2018), DeepLab: Semantic Image Segmentation with Deep
            Convolutional Nets, Atrous Convolution, and Fully Connected CRFs, TPAMI, section 4.1.2,
            https://arxiv.org/abs/1606.00915

    Args:
        power: p > 0.
    """

    def __init__(self, *, power: float) -> None:
        self.power = power

    def factor(self, step: int, *, warmup: int, total: int) -> float:
        return math.pow(1.0 - _progress(step, warmup=warmup, total=total), self.power)


@SCHEDULES.register("inverse_sqrt", InverseSqrtOptions)
class InverseSqrt(Schedule):
    """Decay with the inverse square root of the step (Vaswani et al., 2017).

        f(k) = √((w + 1) / (k + 1))

    It does not depend on the number of steps of the run, and does not end at 0. Without a warm-up the learning rate is
    halved in the fourth step, so `train.warmup` should be above 0.

    Departure from the paper: the learning rate at the end of the warm-up is that of the config; in the paper it follows
    from the width of the model.

    References:
        Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin (2017), Attention Is All You Need,
            NeurIPS, equation 3, https://arxiv.org/abs/1706.03762
    """

    def factor(self, step: int, *, warmup: int, total: int) -> float:
        return math.sqrt((warmup + 1) / (step + 1))


def _progress(step: int, *, warmup: int, total: int) -> float:
    """Return the fraction of the steps after the warm-up that are completed."""
    return (step - warmup) / max(1, total - warmup)


def build_schedule(options: KindOptions, *, total: int, warmup: float) -> Callable[[int], float]:
    """Build a learning-rate schedule with a warm-up: a function from the step, counted from 0, to the factor.

    Args:
        options: options of a registered schedule.
        total: optimizer steps of the run.
        warmup: fraction of the steps that are warm-up, from 0 to 1; their number is rounded up.

    Raises:
        TypeError: the registered class is not a `Schedule`.
    """
    schedule = SCHEDULES.build(options, Schedule)
    warmup_steps = math.ceil(Fraction(str(warmup)) * total)  # a decimal fraction, not its nearest binary one

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return schedule.factor(step, warmup=warmup_steps, total=total)

    return factor

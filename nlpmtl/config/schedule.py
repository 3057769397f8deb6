"""Options of the learning-rate schedules.

They are separate from the schedules so that a config is validated without importing torch.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from nlpmtl.registry import SCHEDULES, KindOptions


class ScheduleOptions(KindOptions):
    """Base class of the options of learning-rate schedules. The warm-up is `train.warmup`, for every schedule."""


class LinearOptions(ScheduleOptions):
    """Options of `Linear`."""

    other_names: ClassVar[str] = "linear_with_warmup linear_decay"


class CosineOptions(ScheduleOptions):
    """Options of `Cosine`."""

    other_names: ClassVar[str] = "cosine_with_warmup cosine_annealing cosine_decay"


class ConstantOptions(ScheduleOptions):
    """Options of `Constant`."""

    other_names: ClassVar[str] = "constant_with_warmup none"


class PolynomialOptions(ScheduleOptions):
    """Options of `Polynomial`."""

    other_names: ClassVar[str] = "poly polynomial_decay polynomial_with_warmup polynomial_decay_with_warmup"

    power: float = Field(2.0, gt=0)
    """Exponent; 1 is the schedule `linear`."""


class InverseSqrtOptions(ScheduleOptions):
    """Options of `InverseSqrt`."""

    other_names: ClassVar[str] = "inverse_square_root inverse_sqrt_with_warmup rsqrt noam"


def parse_schedule(value: Any) -> KindOptions:
    """Return the options of a schedule, given as a table with a ``kind`` or by its name only.

    Raises:
        ValueError: the schedule is unknown.
        pydantic.ValidationError: an option is missing, unknown or invalid.
    """
    return SCHEDULES.parse({"kind": value} if isinstance(value, str) else value)


for _name, _options in (
    ("linear", LinearOptions),
    ("cosine", CosineOptions),
    ("constant", ConstantOptions),
    ("polynomial", PolynomialOptions),
    ("inverse_sqrt", InverseSqrtOptions),
):
    SCHEDULES.register_lazily(_name, _options, module="nlpmtl.training.schedule")

"""Constant weights: tuned by hand, they match or beat specialised methods.

References:
    Kurin et al. (2022), In Defense of the Unitary Scalarization for Deep Multi-Task Learning.
    Xin et al. (2022), Do Current Multi-Task Optimization Methods in Deep Learning Even Help?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Weighting


class ConstantOptions(Options):
    """Options of `Constant`."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Task = its weight; 1 for those left out."""


@WEIGHTINGS.register("constant", ConstantOptions)
@dataclass(kw_only=True)
class Constant(Weighting):
    """The same weights at every step.

    Args:
        weights: the weights that are not 1, each ≥ 0.

    Raises:
        ConfigError: a weight for a task that the run does not have.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in self.weights:
            if name not in self.tasks:
                raise ConfigError(f"weighting.weights.{name}: no such task; {did_you_mean(name, self.tasks)}")

    def weigh(self, seen: Seen) -> dict[str, float]:
        return {task: self.weights.get(task, 1.0) for task in seen.shares}

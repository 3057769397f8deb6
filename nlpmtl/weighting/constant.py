"""Constant weights: tuned by hand, they match or beat specialised methods.

References:
    Kurin et al. (2022), In Defense of the Unitary Scalarization for Deep Multi-Task Learning.
    Xin et al. (2022), Do Current Multi-Task Optimization Methods in Deep Learning Even Help?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Weighting


class ConstantOptions(Options):
    """Options of `Constant`."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Task = its weight; 1 for those left out."""


@WEIGHTINGS.register("constant", ConstantOptions)
class Constant(Weighting):
    """The same weights at every step.

    Args:
        tasks: the names of the run's tasks.
        weights: the weights that are not 1, each ≥ 0.

    Raises:
        ConfigError: a weight for a task that the run does not have.
    """

    def __init__(self, *, tasks: Sequence[str], weights: Mapping[str, float]) -> None:
        for name in weights:
            if name not in tasks:
                raise ConfigError(f"weighting.weights.{name}: no such task; {did_you_mean(name, tasks)}")
        self._weights = {task: weights.get(task, 1.0) for task in tasks}

    def weights(self) -> dict[str, float]:
        return dict(self._weights)

"""Fixed task weights: linear scalarization (Kurin et al., 2022; Xin et al., 2022).

In both studies, tuned fixed weights match or outperform specialised multi-task optimisation methods.

    L = Σ_t w_t · s_t · L_t

Symbols:
- L: loss of the step
- w_t: weight of task t, given by the option `weights`; 1 for a task that it does not list
- s_t: fraction of the step's labels that belong to task t
- L_t: mean loss of task t in the step

Departures from the papers:
- The papers sum the mean losses w_t · L_t. Here the fraction s_t is a factor too, so that the sampler decides how much
  each task counts when all weights are 1 (unitary scalarization).

References:
    Kurin, De Palma, Kostrikov, Whiteson and Kumar (2022), In Defense of the Unitary Scalarization for Deep Multi-Task
        Learning, NeurIPS, https://arxiv.org/abs/2201.04122
    Xin, Ghorbani, Gilmer, Garg and Firat (2022), Do Current Multi-Task Optimization Methods in Deep Learning Even
        Help?, NeurIPS, https://arxiv.org/abs/2209.11379

Example:
    >>> from nlpmtl.weighting import Constant, StepObservation
    >>> weighting = Constant(tasks=["topic", "sentiment"], epoch_steps=100, seed=0, weights={"topic": 0.5})
    >>> weighting.compute_weights(StepObservation(step=0, label_fractions={"topic": 0.75, "sentiment": 0.25}))
    {'topic': 0.5, 'sentiment': 1.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import StepObservation, Weighting


class ConstantOptions(KindOptions):
    """Options of `Constant`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "weights": "weight task_weights loss_weights",
    }

    weights: dict[str, Annotated[float, Field(ge=0, strict=True)]] = Field(default_factory=dict)
    """Weight of each task, by task name; 1 for a task that is not listed."""


@WEIGHTINGS.register("constant", ConstantOptions)
@dataclass(kw_only=True)
class Constant(Weighting):
    """Fixed task weights (linear scalarization).

    Args:
        weights: weight of each task, ≥ 0; 1 for a task that is not listed.

    Raises:
        ConfigError: `weights` lists a task that the run does not have.
    """

    other_names = "equal equal_weighting fixed static uniform none sum unitary linear linear_scalarization"

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in self.weights:
            if name not in self.tasks:
                raise ConfigError(f"weighting.weights.{name}: no such task; {did_you_mean(name, self.tasks)}")

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        return {task: self.weights.get(task, 1.0) for task in observation.label_fractions}

"""FairGrad: fair resource allocation in multi-task learning (Ban and Ji, 2024).

The step maximises the α-fair utility of the tasks' loss decreases.

    G w = w^(−1/α)        (element by element, w > 0)

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- w: weights of the tasks, ``[K]``
- α: option `alpha`, > 0; 1 is proportional fairness and equals `nashmtl`, and the larger it is, the closer the result
  is to max-min fairness

Departures from the paper:
- The equation is solved to a relative residual of 1e-8, by Newton's method on the convex function that has its minimum
  there; the paper solves a nonlinear least-squares problem.

References:
    Ban and Ji (2024), Fair Resource Allocation in Multi-Task Learning, ICML, https://arxiv.org/abs/2402.15638

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import FairGrad, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = FairGrad(tasks=["a", "b"], epoch_steps=100, seed=0, alpha=2.0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 8.336, 'b': 3.649}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


class FairGradOptions(KindOptions):
    """Options of `FairGrad`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "alpha": "fairness fairgrad_alpha",
    }

    alpha: float = Field(2.0, gt=0)
    """Fairness parameter; 1: proportional fairness; the larger, the closer to max-min fairness."""


@WEIGHTINGS.register("fairgrad", FairGradOptions)
@dataclass(kw_only=True)
class FairGrad(SolvedMethod):
    """FairGrad: α-fair decrease of the task losses (Ban and Ji, 2024).

    Args:
        alpha: fairness parameter α > 0.
    """

    averages: ClassVar[bool] = False

    alpha: float

    def make_solver(self) -> Any:
        return lambda gramian: solvers.nash_bargaining(gramian, power=1 / self.alpha)

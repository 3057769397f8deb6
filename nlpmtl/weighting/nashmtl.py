"""Nash-MTL: multi-task learning as a bargaining game (Navon et al., 2022).

The step is the Nash bargaining solution: it maximises the sum of the logarithms of the tasks' loss decreases.

    G w = 1 / w        (element by element, w > 0)

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- w: weights of the tasks, ``[K]``

Departures from the paper:
- The equation is solved to a relative residual of 1e-8, by Newton's method on the convex function that has its minimum
  there; the paper approximates it by a sequence of convex programs.

References:
    Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik and Fetaya (2022), Multi-Task Learning as a Bargaining Game,
        ICML, https://arxiv.org/abs/2202.01017

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import NashMtl, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = NashMtl(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 5.331, 'b': 2.384}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("nashmtl")
@dataclass(kw_only=True)
class NashMtl(SolvedMethod):
    """Nash-MTL: the Nash bargaining solution over task gradients (Navon et al., 2022)."""

    averages: ClassVar[bool] = False

    def make_solver(self) -> Any:
        return solvers.nash_bargaining

"""UPGrad: unconflicting projection of gradients (Quinton and Rey, 2024).

Each task gradient is projected onto the dual cone of all task gradients, and the projections are averaged. To first
order, no task's loss increases.

    v_t = argmin_v vᵀ G v   subject to   v ≥ e_t        w = Σ_t v_t

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- e_t: t-th unit vector, ``[K]``
- v_t: weights of the projection of g_t, ``[K]``
- w: weights of the tasks, ``[K]``
- dual cone: the vectors that have no negative inner product with any task gradient

Departures from the paper:
- The projections are added instead of averaged: the weights are multiplied by K, as in all methods whose weights sum
  to 1 in the paper.
- The quadratic programs are solved by an active-set method. Eigenvalues of the gradients' cosine matrix below 1e-6 are
  raised to 1e-6.

References:
    Quinton and Rey (2024), Jacobian Descent for Multi-Objective Optimization, https://arxiv.org/abs/2406.16232

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import StepObservation, UpGrad
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = UpGrad(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 3.0, 'b': 1.4}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("upgrad")
@dataclass(kw_only=True)
class UpGrad(SolvedMethod):
    """UPGrad: mean of the task gradients, each projected onto the dual cone (Quinton and Rey, 2024)."""

    def make_solver(self) -> Any:
        return lambda gramian: solvers.project_to_dual_cone(gramian, np.eye(len(gramian)) / len(gramian)).sum(axis=0)

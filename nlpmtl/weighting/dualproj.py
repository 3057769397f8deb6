"""DualProj: the mean gradient projected onto the dual cone of the task gradients (Lopez-Paz and Ranzato, 2017).

It is the step closest to the mean gradient that, to first order, increases no task's loss.

    v = argmin_v vᵀ G v   subject to   v ≥ 1/K        w = K · v

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- v: weights of the projected mean gradient, ``[K]``
- w: weights of the tasks, ``[K]``
- dual cone: the vectors that have no negative inner product with any task gradient

Departures from the paper:
- Gradient Episodic Memory projects the gradient of the current task in continual learning, with the gradients of
  earlier tasks as constraints. Here all tasks are learned at once, and the mean gradient is projected, as in TorchJD.
- The weights are multiplied by K, as in all methods whose weights sum to 1 in the paper.
- The quadratic program is solved by an active-set method. Eigenvalues of the gradients' cosine matrix below 1e-6 are
  raised to 1e-6.

References:
    Lopez-Paz and Ranzato (2017), Gradient Episodic Memory for Continual Learning, NeurIPS,
        https://arxiv.org/abs/1706.08840

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import DualProj, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = DualProj(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 2.0, 'b': 1.0}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("dualproj")
@dataclass(kw_only=True)
class DualProj(SolvedMethod):
    """DualProj: the mean gradient projected onto the dual cone (Lopez-Paz and Ranzato, 2017)."""

    def make_solver(self) -> Any:
        return lambda gramian: solvers.project_to_dual_cone(gramian, np.full((1, len(gramian)), 1 / len(gramian)))[0]

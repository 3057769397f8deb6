"""Multiple-Gradient Descent Algorithm, MGDA (Désidéri, 2012; Sener and Koltun, 2018).

The step is the shortest convex combination of the task gradients.

    v = argmin_v ‖Σ_t v_t · g_t‖²   subject to   v ≥ 0, Σ_t v_t = 1        w = K · v

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- v_t: weight of task t in the papers; w_t: weight of task t here

Departures from the papers:
- The weights are multiplied by K, as in all methods whose weights sum to 1 in the paper.
- The quadratic program is solved exactly, by an active-set method; the papers' Frank-Wolfe algorithm needs many
  iterations. Eigenvalues of the gradients' cosine matrix below 1e-6 are raised to 1e-6.
- A gradient of 0 is left out; with it, the shortest combination would be 0, and no task would be trained in the step.

References:
    Désidéri (2012), Multiple-gradient descent algorithm (MGDA) for multiobjective optimization, Comptes Rendus
        Mathématique 350, https://doi.org/10.1016/j.crma.2012.03.014
    Sener and Koltun (2018), Multi-Task Learning as Multi-Objective Optimization, NeurIPS,
        https://arxiv.org/abs/1810.04650

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import Mgda, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = Mgda(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 1.4, 'b': 0.6}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("mgda")
@dataclass(kw_only=True)
class Mgda(SolvedMethod):
    """MGDA: the shortest convex combination of the task gradients (Désidéri, 2012)."""

    other_names = "mgda_ub multiple_gradient_descent"

    def make_solver(self) -> Any:
        return solvers.min_norm_combination

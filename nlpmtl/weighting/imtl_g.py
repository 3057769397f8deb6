"""IMTL-G: the gradient part of Impartial Multi-Task Learning (Liu et al., 2021).

The weights are chosen so that d has projections of equal length onto all task gradients.

    ⟨d, u_t⟩ is equal for all t        d = Σ_t v_t · g_t        Σ_t v_t = 1        w = K · v

Symbols:
- K: number of tasks
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- d: gradient of the optimizer step
- u_t: g_t / ‖g_t‖
- v_t: weight of task t in the paper; w_t: weight of task t here

Departures from the paper:
- The weights are multiplied by K, as in all methods whose weights sum to 1 in the paper.
- Eigenvalues of the gradients' cosine matrix up to 5e-6 are treated as 0 in the pseudo-inverse, so that gradients
  which are parallel up to rounding count as parallel.
- If no such d exists, the pseudo-inverse gives the d whose projections are nearest to equal; for two opposite
  gradients, all weights are 0.

References:
    Liu, Li, Kuang, Xue, Chen, Yang, Liao and Zhang (2021), Towards Impartial Multi-task Learning, ICLR,
        https://openreview.net/forum?id=IMPnRXEWpvr

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import ImtlG, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = ImtlG(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 1.382, 'b': 0.618}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("imtl_g")
@dataclass(kw_only=True)
class ImtlG(SolvedMethod):
    """IMTL-G: projections of equal length onto all task gradients (Liu et al., 2021)."""

    other_names = "imtl"

    def make_solver(self) -> Any:
        return solvers.equal_projections

"""Aligned-MTL: independent component alignment (Senushkin et al., 2023).

The principal components of the task gradients are scaled to equal size, that of the smallest one, before the gradients
are averaged.

    w = V · (λ_min / Λ)^(1/2) · Vᵀ · 1_K        G = V Λ Vᵀ

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- Λ, V: eigenvalues and eigenvectors of G; λ_min: smallest eigenvalue that is left
- 1_K: vector of K ones
- w: weights of the tasks, ``[K]``

Departures from the paper:
- The weights are multiplied by K, as in all methods whose weights sum to 1 in the paper.
- As many components are left as the gradients' cosine matrix has eigenvalues above 5e-6: two gradients at an angle
  below 0.0032 count as parallel, so that rounding does not decide.

References:
    Senushkin, Patakin, Kuznetsov and Konushin (2023), Independent Component Alignment for Multi-Task Learning, CVPR,
        https://arxiv.org/abs/2305.19000

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import AlignedMtl, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = AlignedMtl(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 1.172, 'b': 0.586}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import solvers
from nlpmtl.weighting.gradients import SolvedMethod


@WEIGHTINGS.register("aligned_mtl")
@dataclass(kw_only=True)
class AlignedMtl(SolvedMethod):
    """Aligned-MTL: principal components of the gradients, scaled to equal size (Senushkin et al., 2023)."""

    def make_solver(self) -> Any:
        return solvers.align_components

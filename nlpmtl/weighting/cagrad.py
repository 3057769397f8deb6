"""Conflict-Averse Gradient Descent, CAGrad (Liu et al., 2021).

The step maximises the smallest decrease of a task's loss among all steps near the mean gradient.

    d = argmax_d min_t ⟨g_t, d⟩   subject to   ‖d − g_0‖ ≤ c · ‖g_0‖        g_0 = 1/K · Σ_t g_t
    Σ_t w_t · g_t = K · d

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- d: gradient of the optimizer step; g_0: mean gradient
- c: option `c`, ≥ 0; the paper uses 0.4 and 0.5; with 0, d is the mean gradient; with c ≥ 1, d may be 0
- w_t: weight of task t

Departures from the paper:
- d is multiplied by K, as in all methods whose weights sum to 1 in the paper. For orthogonal gradients of equal norm
  the weights are 1 + c.
- The dual problem is solved by TorchJD's `CAGradWeighting`, a cone program.
- With c ≥ 1, all weights are 0 where a convex combination of the gradients is 0 (up to 1e-6 of their root mean square
  norm): no step decreases all losses.

References:
    Liu, Liu, Jin, Stone and Liu (2021), Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS,
        https://arxiv.org/abs/2110.14048

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import CaGrad, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = CaGrad(tasks=["a", "b"], epoch_steps=100, seed=0, c=0.5)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 1.707, 'b': 1.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.gradients import GradientMethod


class CaGradOptions(KindOptions):
    """Options of `CaGrad`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "c": "calpha alpha radius",
    }

    c: float = Field(0.5, ge=0)
    """Radius of the search region around the mean gradient, relative to its norm; 0: the mean gradient."""


@WEIGHTINGS.register("cagrad", CaGradOptions)
@dataclass(kw_only=True)
class CaGrad(GradientMethod):
    """CAGrad: the best step for the worst task near the mean gradient (Liu et al., 2021).

    Args:
        c: radius of the search region relative to the norm of the mean gradient, ≥ 0.
    """

    c: float

    def make_solver(self) -> Any:
        from torchjd.aggregation import CAGradWeighting

        return CAGradWeighting(c=self.c, norm_eps=1e-6 if self.c >= 1 else 0.0)

"""PCGrad: projecting conflicting gradients, also called gradient surgery (Yu et al., 2020).

If two task gradients conflict, the component of each along the other is removed.

    for each t, over all other tasks k in random order: if ⟨h_t, g_k⟩ < 0: h_t ← h_t − ⟨h_t, g_k⟩ / ‖g_k‖² · g_k
    Σ_t w_t · g_t = Σ_t h_t

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- h_t: projected gradient of task t, g_t at the start
- w_t: weight of task t

Departures from the paper:
- None. The weights w_t are computed by TorchJD's `PCGradWeighting`; the random order is a function of the seed and the
  step.

References:
    Yu, Kumar, Gupta, Levine, Hausman and Finn (2020), Gradient Surgery for Multi-Task Learning, NeurIPS, algorithm 1,
        https://arxiv.org/abs/2001.06782

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import PcGrad, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = PcGrad(tasks=["a", "b"], epoch_steps=100, seed=0)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 3.0, 'b': 1.4}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting.gradients import GradientMethod


@WEIGHTINGS.register("pcgrad")
@dataclass(kw_only=True)
class PcGrad(GradientMethod):
    """PCGrad: conflicting gradients are projected onto each other's normal plane (Yu et al., 2020)."""

    other_names = "gradient_surgery"

    averages: ClassVar[bool] = False

    def make_solver(self) -> Any:
        from torchjd.aggregation import PCGradWeighting

        return PCGradWeighting()

"""Gradient Vaccine, GradVac (Wang et al., 2021).

Two task gradients whose cosine is below its usual value are rotated until they have the usual cosine.

    for each t, over all other tasks k in random order, with φ = cos(h_t, g_k): if φ < φ̂_tk:
        h_t ← h_t + ‖h_t‖ · (φ̂_tk · √(1 − φ²) − φ · √(1 − φ̂_tk²)) / (‖g_k‖ · √(1 − φ̂_tk²)) · g_k
    φ̂_tk ← (1 − β) · φ̂_tk + β · φ
    Σ_t w_t · g_t = Σ_t h_t

Symbols:
- g_t: gradient of task t, scaled as in `nlpmtl.weighting.gradients`; G: Gramian of the K gradients, G_tk = ⟨g_t, g_k⟩
- h_t: rotated gradient of task t, g_t at the start
- φ: cosine of the current gradients; φ̂_tk: its moving average, 0 at the start (PCGrad's target)
- β: option `beta`, 0.01 in the paper
- w_t: weight of task t

Departures from the paper:
- The cosines are those of all shared parameters together; the paper also compares smaller groups of parameters.
- φ̂_tk is kept for each pair of task names, so that a step in which a task has no labels does not reset it.
- The weights are computed by TorchJD's `GradVacWeighting`, which adds 1e-8 to the denominators.

References:
    Wang, Tsvetkov, Firat and Cao (2021), Gradient Vaccine: Investigating and Improving Multi-task Optimization in
        Massively Multilingual Models, ICLR, https://arxiv.org/abs/2010.05874

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import GradVac, StepObservation
    >>> gradients = np.array([[1.0, 0.0], [-2.0, 1.0]])
    >>> fractions, losses = {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=gradients @ gradients.T)
    >>> weighting = GradVac(tasks=["a", "b"], epoch_steps=100, seed=0, beta=0.01)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'a': 3.0, 'b': 1.4}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.gradients import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor


class GradVacOptions(KindOptions):
    """Options of `GradVac`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "beta": "ema_decay decay gradvac_beta",
    }

    beta: float = Field(0.01, gt=0, le=1)
    """Weight of the current cosine in the moving average of each pair's cosine."""


@WEIGHTINGS.register("gradvac", GradVacOptions)
@dataclass(kw_only=True)
class GradVac(GradientMethod):
    """Gradient Vaccine: gradients are rotated until their cosines have the usual values (Wang et al., 2021).

    Args:
        beta: weight β of the current cosines in their moving average, from above 0 to 1.
    """

    other_names = "gradient_vaccine"

    averages: ClassVar[bool] = False

    beta: float

    def make_solver(self) -> Any:
        from torchjd.aggregation import GradVacWeighting

        return GradVacWeighting(beta=self.beta)

    def solve(self, gramian: Tensor, *, tasks: list[str]) -> Tensor:
        import torch

        pairs = [f"{task}/{other}" for task in tasks for other in tasks]
        averages = torch.tensor([self.state.get(pair, 0.0) for pair in pairs], dtype=gramian.dtype)
        # TorchJD resets its state when the number of gradients changes, so the state is kept here, by task names.
        self._method._phi_t, self._method._state_key = averages.view_as(gramian), (len(tasks), gramian.dtype)
        weights = super().solve(gramian, tasks=tasks)
        self.state |= dict(zip(pairs, self._method._phi_t.flatten().tolist(), strict=True))
        return weights

"""GradNorm: gradient normalization (Chen et al., 2018).

The weights are adapted so that the gradients of all tasks have similar norms, larger ones for tasks that learn slowly.

    G_t = w_t · ‖∇L_t‖        r_t = (L_t / L_t(0)) / mean_k (L_k / L_k(0))        Ḡ = mean_t G_t
    w_t ← w_t − η · ‖∇L_t‖ · sign(G_t − Ḡ · r_t^α)        then w ← K · w / Σ_k w_k

Symbols:
- w_t: weight of task t, 1 at the start; K: number of tasks
- L_t: mean loss of task t in the step; L_t(0): its first loss
- ∇L_t: gradient of L_t with respect to the parameters that several tasks share
- G_t: gradient norm of task t; Ḡ: mean over the tasks of the step
- r_t: relative inverse training rate, above 1 for a task that learns more slowly than the others
- α: option `alpha`, ≥ 0; the paper takes 1.5 for tasks that differ much
- η: option `lr`, 0.025 in the paper

The first update is the gradient step on Σ_t |G_t − Ḡ · r_t^α|, in which Ḡ · r_t^α is a constant.

Departures from the paper:
- The gradients are those of all shared parameters; the paper takes the last shared layer. Parameters of a single task
  are not weighted.
- A weight is at least 0.001 before it is normalised.
- L_t / L_t(0) = 1 for a task whose first loss is not above 1e-200, and a negative loss counts as 0.
- A step with a loss or a gradient that is not finite does not change the weights.

References:
    Chen, Badrinarayanan, Lee and Rabinovich (2018), GradNorm: Gradient Normalization for Adaptive Loss Balancing in
        Deep Multitask Networks, ICML, equations 1 and 2, https://arxiv.org/abs/1711.02257

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import GradNorm, StepObservation
    >>> weighting = GradNorm(tasks=["topic", "sentiment"], epoch_steps=100, seed=0, alpha=1.5, lr=0.1)
    >>> shares, losses = {"topic": 0.5, "sentiment": 0.5}, {"topic": 2.0, "sentiment": 0.5}
    >>> step = StepObservation(step=0, shares=shares, losses=losses, gramian=np.diag([1.0, 0.25]))
    >>> weighting.update(step, losses=losses, post_step_losses={})
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'topic': 0.842, 'sentiment': 1.158}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import Requirement, StepObservation, Weighting, all_finite

_MIN_WEIGHT = 1e-3
_MIN_LOSS = 1e-200
"""First losses up to this value count as 0, so that quotients are finite."""


class GradNormOptions(KindOptions):
    """Options of `GradNorm`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "alpha": "asymmetry gradnorm_alpha",
        "lr": "learning_rate weight_lr",
    }

    alpha: float = Field(1.5, ge=0)
    """Strength with which tasks that learn more slowly get larger gradients; 0: equal gradient norms."""
    lr: float = Field(0.025, gt=0)
    """Learning rate of the task weights (gradient descent)."""


@WEIGHTINGS.register("gradnorm", GradNormOptions)
@dataclass(kw_only=True)
class GradNorm(Weighting):
    """GradNorm: similar gradient norms, larger ones for tasks that learn slowly (Chen et al., 2018).

    Args:
        alpha: α ≥ 0.
        lr: learning rate η of the weights, > 0.
    """

    requires: ClassVar[Requirement] = "gradients"
    compares_tasks: ClassVar[bool] = True
    is_adaptive: ClassVar[bool] = True

    alpha: float
    lr: float

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        return {task: self._weights[task] for task in observation.shares}

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        assert observation.gramian is not None, "GradNorm requires gradients"
        if not all_finite([*losses.values(), *observation.gramian.ravel()]):
            return
        first = {**losses, **self.state.get("first", {})}
        weights = self._weights
        norms = {
            task: math.sqrt(max(float(observation.gramian[i, i]), 0.0)) / share
            for i, (task, share) in enumerate(observation.shares.items())
        }
        mean_norm = math.fsum(weights[task] * norm for task, norm in norms.items()) / len(norms)
        ratios = {task: max(losses[task], 0.0) / first[task] if first[task] > _MIN_LOSS else 1.0 for task in norms}
        mean_ratio = math.fsum(ratios.values()) / len(ratios)
        for task, norm in norms.items():
            target = mean_norm * (ratios[task] / mean_ratio) ** self.alpha if mean_ratio > 0 else mean_norm
            difference = weights[task] * norm - target
            sign = (difference > 0) - (difference < 0)
            weights[task] = max(weights[task] - self.lr * norm * sign, _MIN_WEIGHT)
        total = math.fsum(weights.values())
        normalized = {task: len(weights) * weight / total for task, weight in weights.items()}
        self.state = {"first": first, "weights": normalized}

    @property
    def _weights(self) -> dict[str, float]:
        learned: dict[str, float] = self.state.get("weights", {})
        return dict.fromkeys(self.tasks, 1.0) | learned

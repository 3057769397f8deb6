"""GradNorm: gradient normalization (Chen et al., 2018).

The task weights are adapted so that the weighted gradients of all tasks have similar norms. Tasks that learn slowly get
larger norms.

    G_t = w_t · ‖∇L_t‖        r_t = (L_t / L_t(0)) / mean_k (L_k / L_k(0))        Ḡ = mean_t G_t
    w_t ← w_t − η · ‖∇L_t‖ · sign(G_t − Ḡ · r_t^α)        then w ← K · w / Σ_k w_k

Symbols:
- w_t: weight of task t, 1 at the start; K: number of tasks
- L_t: mean loss of task t in the step; L_t(0): its mean loss in the first step that has labels for it
- ∇L_t: gradient of L_t with respect to the parameters that several tasks share
- G_t: gradient norm of task t; Ḡ: mean over the tasks of the step
- r_t: relative inverse training rate, above 1 for a task that learns more slowly than the others
- α: option `alpha`, ≥ 0; larger values suit tasks that learn at more different speeds; the paper uses 1.5 on NYUv2
- η: option `lr`, 0.025 in the paper

The update of w_t is a gradient-descent step on Σ_t |G_t − Ḡ · r_t^α|, in which Ḡ · r_t^α is treated as a constant. The
weights are then normalised so that their mean is 1.

Departures from the paper:
- The gradient norms are computed over all shared parameters; the paper uses only the last shared layer.
- Parameters that only one task uses in a step, such as its head, keep their unweighted gradient.
- Weights below 0.001 are set to 0.001 before they are normalised.
- L_t / L_t(0) is 1 for a task whose first loss is at most 1e-200, and a negative loss counts as 0.
- A step with an infinite or NaN loss or gradient does not change the weights.

References:
    Chen, Badrinarayanan, Lee and Rabinovich (2018), GradNorm: Gradient Normalization for Adaptive Loss Balancing in
        Deep Multitask Networks, ICML, equations 1 and 2, https://arxiv.org/abs/1711.02257

Example:
    >>> import numpy as np
    >>> from nlpmtl.weighting import GradNorm, StepObservation
    >>> weighting = GradNorm(tasks=["topic", "sentiment"], epoch_steps=100, seed=0, alpha=1.5, lr=0.1)
    >>> fractions, losses = {"topic": 0.5, "sentiment": 0.5}, {"topic": 2.0, "sentiment": 0.5}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses, gramian=np.diag([1.0, 0.25]))
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
"""If the first loss of a task is at most this value, L_t / L_t(0) is 1, so that no division overflows."""


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
    """GradNorm: weights that give all tasks similar gradient norms (Chen et al., 2018).

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
        return {task: self._weights[task] for task in observation.label_fractions}

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        assert observation.gramian is not None, "GradNorm requires gradients"
        if not all_finite([*losses.values(), *observation.gramian.ravel()]):
            return
        initial_losses = {**losses, **self.state.get("first", {})}
        weights = self._weights
        norms = {
            task: math.sqrt(max(float(observation.gramian[i, i]), 0.0)) / fraction
            for i, (task, fraction) in enumerate(observation.label_fractions.items())
        }
        mean_norm = math.fsum(weights[task] * norm for task, norm in norms.items()) / len(norms)
        ratios = {
            task: max(losses[task], 0.0) / initial_losses[task] if initial_losses[task] > _MIN_LOSS else 1.0
            for task in norms
        }
        mean_ratio = math.fsum(ratios.values()) / len(ratios)
        for task, norm in norms.items():
            target = mean_norm * (ratios[task] / mean_ratio) ** self.alpha if mean_ratio > 0 else mean_norm
            difference = weights[task] * norm - target
            sign = (difference > 0) - (difference < 0)
            weights[task] = max(weights[task] - self.lr * norm * sign, _MIN_WEIGHT)
        total = math.fsum(weights.values())
        normalized = {task: len(weights) * weight / total for task, weight in weights.items()}
        self.state = {"first": initial_losses, "weights": normalized}

    @property
    def _weights(self) -> dict[str, float]:
        learned: dict[str, float] = self.state.get("weights", {})
        return dict.fromkeys(self.tasks, 1.0) | learned

"""Fast Adaptive Multitask Optimization, FAMO (Liu et al., 2023).

The weights are adapted so that the losses of all tasks decrease at equal relative rates, without a gradient per task.

    w_t = K · c · z_t / L_t        z = softmax(ξ)        c = 1 / Σ_k (z_k / L_k)
    ξ ← ξ − Adam(Jᵀ δ + γ ξ)       δ_t = log L_t − log L′_t

Symbols:
- w_t: weight of task t
- K: number of tasks that have labels in the step
- L_t: mean loss of task t in the step
- L′_t: mean loss of task t after the optimizer step, on the same rows and with the same dropout masks
- ξ: one learned logit per task, 0 at the start; z: the softmax of the logits of the step's tasks
- c: factor that makes the weights sum to K
- δ_t: decrease of the log loss; a task with a smaller decrease gets a larger weight
- J: Jacobian of z with respect to ξ
- γ: option `decay`, 0.001 in the paper; the learning rate of Adam is the option `lr`, 0.025 in the paper

Each step takes one extra forward pass before the optimizer step and one after it.

Departures from the paper:
- ξ is updated by Adam, as in the authors' code; the weights of the paper sum to 1.
- The gradient of the step is Σ_t w_t · s_t · ∇L_t, as with all weightings: s_t is the fraction of the step's labels
  that belong to task t. In the paper it is Σ_t w_t · ∇L_t.
- 1e-8 is added to L_t in the weights and in both logarithms.
- A task without labels in a step keeps its ξ.
- If a loss of the step is negative or not finite, all weights are 1 and ξ is not updated. ξ is not updated either if a
  loss after the optimizer step is negative or not finite.

References:
    Liu, Feng, Stone and Liu (2023), FAMO: Fast Adaptive Multitask Optimization, NeurIPS, algorithm 1,
        https://arxiv.org/abs/2306.03792

Example:
    >>> from nlpmtl.weighting import Famo, StepObservation
    >>> weighting = Famo(tasks=["topic", "sentiment"], epoch_steps=100, seed=0, lr=0.025, decay=0.001)
    >>> fractions, losses = {"topic": 0.5, "sentiment": 0.5}, {"topic": 2.0, "sentiment": 0.5}
    >>> step = StepObservation(step=0, label_fractions=fractions, losses=losses)
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'topic': 0.4, 'sentiment': 1.6}
    >>> weighting.update(step, losses=step.losses, post_step_losses={"topic": 1.9, "sentiment": 0.3})
    >>> {task: round(weight, 3) for task, weight in weighting.compute_weights(step).items()}
    {'topic': 0.416, 'sentiment': 1.584}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, KindOptions
from nlpmtl.weighting.base import Requirement, StepObservation, Weighting, all_finite

_EPSILON = 1e-8
_BETA_1, _BETA_2 = 0.9, 0.999


class FamoOptions(KindOptions):
    """Options of `Famo`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "lr": "learning_rate w_lr famo_w_lr",
        "decay": "weight_decay gamma famo_w_gamma",
    }

    lr: float = Field(0.025, gt=0)
    """Learning rate of the task weights (Adam)."""
    decay: float = Field(1e-3, ge=0)
    """Weight decay of the task logits, which pulls the task weights towards equal ones."""


@WEIGHTINGS.register("famo", FamoOptions)
@dataclass(kw_only=True)
class Famo(Weighting):
    """FAMO: equal relative decrease of all losses, without a gradient per task (Liu et al., 2023).

    Args:
        lr: learning rate of ξ, > 0.
        decay: γ ≥ 0.
    """

    requires: ClassVar[Requirement] = "losses"
    compares_tasks: ClassVar[bool] = True
    is_adaptive: ClassVar[bool] = True
    needs_post_step_losses: ClassVar[bool] = True

    lr: float
    decay: float

    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        if not _are_valid(observation.losses):
            return dict.fromkeys(observation.label_fractions, 1.0)
        ratios = {task: z / (observation.losses[task] + _EPSILON) for task, z in self._softmax(observation).items()}
        total = math.fsum(ratios.values())
        return {task: len(ratios) * ratio / total for task, ratio in ratios.items()}

    def update(
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        if not (_are_valid(observation.losses) and _are_valid(post_step_losses)):
            return
        z = self._softmax(observation)
        before = {task: math.log(observation.losses[task] + _EPSILON) for task in z}
        delta = {task: before[task] - math.log(post_step_losses[task] + _EPSILON) for task in z}
        mean = math.fsum(z[task] * delta[task] for task in z)
        for task in z:
            xi, first, second, steps = self.state.get(task, (0.0, 0.0, 0.0, 0))
            gradient = z[task] * (delta[task] - mean) + self.decay * xi
            steps += 1
            first = _BETA_1 * first + (1 - _BETA_1) * gradient
            second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
            root = math.sqrt(second / (1 - _BETA_2**steps)) + _EPSILON
            self.state[task] = [xi - self.lr * first / (1 - _BETA_1**steps) / root, first, second, steps]

    def _softmax(self, observation: StepObservation) -> dict[str, float]:
        """Return z of each task that has labels in the step."""
        logits = {task: self.state[task][0] if task in self.state else 0.0 for task in observation.label_fractions}
        exponentials = {task: math.exp(logit - max(logits.values())) for task, logit in logits.items()}
        total = math.fsum(exponentials.values())
        return {task: exponential / total for task, exponential in exponentials.items()}


def _are_valid(losses: Mapping[str, float]) -> bool:
    """Return whether all losses are finite and ≥ 0, as the formulas require."""
    return all_finite(losses.values()) and all(loss >= 0 for loss in losses.values())

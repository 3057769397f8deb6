"""Base class of loss weightings.

The loss of a training step is a weighted sum over the tasks that have labels in it:

    L = Σ_t w_t · s_t · L_t

Symbols:
- L: loss of the step
- w_t: weight of task t, returned by `Weighting.compute_weights`
- s_t: fraction of the step's labels that belong to task t, so that Σ_t s_t = 1
- L_t: mean loss of task t over its labels in the step

A weight of 1 leaves a task the influence that the sampler gave it.

Example:
    >>> from nlpmtl.weighting import StepObservation, Weighting
    >>> class Halved(Weighting):
    ...     def compute_weights(self, observation):
    ...         return dict.fromkeys(observation.label_fractions, 0.5)
    >>> weighting = Halved(tasks=["topic", "sentiment"], epoch_steps=100, seed=0)
    >>> weighting.compute_weights(StepObservation(step=0, label_fractions={"topic": 0.75, "sentiment": 0.25}))
    {'topic': 0.5, 'sentiment': 0.5}
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlpmtl.deprecation import RenamedAttribute
from nlpmtl.errors import ConfigError

Requirement = Literal["nothing", "losses", "gradients"]
"""Requirement of a weighting: values that must be computed before the weights of a step."""


@dataclass(frozen=True)
class StepObservation:
    """Measurements of a training step from which weights are computed; equal on all ranks.

    Args:
        step: number of the optimizer step, counted from 0.
        label_fractions: fraction of the step's labels that belong to each task, from 0 to 1. Tasks without labels in
            the step are absent. The order of the tasks is that of `losses` and of the rows of `gramian`.
        losses: mean loss of each task in `label_fractions`. Empty if the weighting's `requires` is "nothing".
        gramian: inner products of the task gradients, ``[tasks, tasks]`` in double precision. The gradient of task t is
            that of s_t · L_t with respect to the parameters that several tasks share. None unless `requires` is
            "gradients".
    """

    step: int
    label_fractions: Mapping[str, float]
    losses: Mapping[str, float] = field(default_factory=dict)
    gramian: NDArray[np.float64] | None = None

    shares = RenamedAttribute("label_fractions")


@dataclass(kw_only=True)
class Weighting(ABC):
    """Computes a weight for each task before the backward pass of a step.

    State that is learned during training is kept in `state`, a JSON-serialisable dict that is saved in checkpoints.

    Args:
        tasks: names of all tasks of the run.
        epoch_steps: optimizer steps per epoch, ≥ 1.
        seed: seed of the run, ≥ 0.
    """

    requires: ClassVar[Requirement] = "nothing"
    """Requirement of `compute_weights`: "nothing", "losses" (one extra forward pass per step) or "gradients" (one
    backward pass per task)."""
    is_adaptive: ClassVar[bool] = False
    """Whether `update` is called after each optimizer step."""
    compares_tasks: ClassVar[bool] = False
    """Whether the method has no effect in a step with labels of a single task."""
    needs_post_step_losses: ClassVar[bool] = False
    """Whether `update` requires the losses after the optimizer step on the same rows (one extra forward pass)."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.requires not in get_args(Requirement):
            known = ", ".join(map(repr, get_args(Requirement)))
            raise ConfigError(f"{cls.__module__}.{cls.__qualname__}: `requires` is {cls.requires!r}; known: {known}")

    tasks: Sequence[str]
    epoch_steps: int
    seed: int
    state: dict[str, Any] = field(init=False, default_factory=dict)

    @abstractmethod
    def compute_weights(self, observation: StepObservation) -> dict[str, float]:
        """Compute the weights of a step.

        Args:
            observation: measurements of the step; `requires` declares which of them are needed.

        Returns:
            The weight w_t of each task in `observation.label_fractions`, in the same order.
        """

    def update(  # noqa: B027
        self, observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        """Update `state` after an optimizer step. The default does nothing.

        It is not called for a step whose loss is not finite.

        Args:
            observation: the argument of `compute_weights` in this step.
            losses: mean loss of each task that has labels in the step, before the optimizer step.
            post_step_losses: mean loss of the same tasks after the optimizer step, on the same rows and with the same
                dropout masks. Empty unless `needs_post_step_losses` is set.
        """


def all_finite(values: Iterable[float]) -> bool:
    """Return whether no value is infinite or NaN."""
    return all(map(math.isfinite, values))

"""Weightings by name, and observations of steps for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import StepObservation, Weighting

TASKS = ("a", "b", "c")


def build(kind: str, *, tasks: Sequence[str] = TASKS, epoch_steps: int = 3, **options: Any) -> Weighting:
    parsed = WEIGHTINGS.parse({"kind": kind, **options})
    return WEIGHTINGS.build(parsed, Weighting, tasks=list(tasks), epoch_steps=epoch_steps, seed=5)


def seen(
    losses: Mapping[str, float],
    *,
    step: int = 0,
    jacobian: NDArray[np.float64] | None = None,
    label_fractions: Mapping[str, float] | None = None,
) -> StepObservation:
    """Return the observation of a step; tasks have equal fractions by default."""
    return StepObservation(
        step,
        label_fractions or dict.fromkeys(losses, 1 / len(losses)),
        losses,
        None if jacobian is None else jacobian @ jacobian.T,
    )


def random_losses(count: int, *, seed: int = 0, tasks: Sequence[str] = TASKS) -> list[dict[str, float]]:
    source = np.random.default_rng(seed)
    return [dict(zip(tasks, source.uniform(0.2, 3.0, len(tasks)).tolist(), strict=True)) for _ in range(count)]

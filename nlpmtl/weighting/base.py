"""What a weighting is: each task's weight in the loss of a step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Sight = Literal["nothing", "losses", "gradients"]


@dataclass(frozen=True)
class Seen:
    """What a weighting may look at before it weighs a step; the same in all processes.

    Args:
        step: counted from 0.
        shares: each task's share of the labels of the step's rows; the tasks are those that have any, in this order.
        losses: the mean loss of each of them; empty unless the weighting looks at losses or gradients.
        gramian: the inner products of the gradients of share · mean loss with respect to what several tasks share,
            ``[tasks, tasks]`` in double precision; None unless the weighting looks at gradients.
    """

    step: int
    shares: Mapping[str, float]
    losses: Mapping[str, float] = field(default_factory=dict)
    gramian: NDArray[np.float64] | None = None


@dataclass(kw_only=True)
class Weighting(ABC):
    """How the tasks' losses become one.

    A step's loss is Σ_t weight_t · share_t · mean_t: a weight of 1 leaves a task what the sampler gave it.

    What a weighting learns from steps it keeps in `memory`, plain values as JSON holds them, which checkpoints save.

    Args:
        tasks: the names of the run's tasks.
        epoch_steps: optimizer steps of one epoch.
        seed: ≥ 0.
    """

    sight: ClassVar[Sight] = "nothing"
    """What it looks at before it weighs: "losses" cost a forward, "gradients" a backward for each task."""
    learns: ClassVar[bool] = False
    """Whether it wants to be told of the step's losses."""
    looks_back: ClassVar[bool] = False
    """Whether it wants to be told what became of them, on the same rows; a forward."""

    tasks: Sequence[str]
    epoch_steps: int
    seed: int
    memory: dict[str, Any] = field(init=False, default_factory=dict)

    @abstractmethod
    def weigh(self, seen: Seen) -> dict[str, float]:
        """The weight of each task that has rows in the step, multiplied with its share of them."""

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:  # noqa: B027
        """Take in a step that was made: most have nothing to learn.

        Args:
            seen: what it weighed by.
            losses: the mean loss of each task that had rows.
            after: what they are on the same rows, with the same dropout, after the step; empty unless it `looks_back`.

        A run does not call this for a step with a loss that is not finite.
        """


def all_finite(values: Iterable[float]) -> bool:
    """Return whether all numbers are finite."""
    return all(map(math.isfinite, values))

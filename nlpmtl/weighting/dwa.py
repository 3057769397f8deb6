"""More weight for what falls more slowly from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import WEIGHTINGS, Options
from nlpmtl.weighting.base import Seen, Weighting

_LEAST = 1e-200
"""A mean loss that is not above this counts as 0, so that quotients are finite."""


class DwaOptions(Options):
    """Options of `Dwa`."""

    temperature: float = Field(2.0, gt=0)
    """The higher, the nearer to equal weights."""


@WEIGHTINGS.register("dwa", DwaOptions)
@dataclass(kw_only=True)
class Dwa(Weighting):
    """Dynamic weight average (Liu, Johns and Davison 2019, End-to-End Multi-Task Learning with Attention, equation 7).

        λ_k = K · exp(w_k / T) / Σ_i exp(w_i / T)        w_k = L_k(e − 1) / L_k(e − 2)

    for K tasks and the mean L_k(e) of a task's losses in epoch e. In the first two epochs all weights are 1; a task
    without rows in one of the two epochs before takes w_k = 1, and so does one whose mean loss in the older epoch was
    not above 0. A loss that is not finite is left out of the means.

    Args:
        temperature: T > 0; the paper's is 2.
    """

    learns: ClassVar[bool] = True

    temperature: float

    def weigh(self, seen: Seen) -> dict[str, float]:
        older, newer = self._means(seen.step // self.epoch_steps)
        if older is None or newer is None:
            return dict.fromkeys(seen.shares, 1.0)
        rates = {t: newer[t] / older[t] if t in newer and older.get(t, 0.0) > _LEAST else 1.0 for t in self.tasks}
        highest = max(rates.values())
        grown = {task: math.exp((rate - highest) / self.temperature) for task, rate in rates.items()}
        total = math.fsum(grown.values())
        return {task: len(self.tasks) * grown[task] / total for task in seen.shares}

    def learn(self, seen: Seen, *, losses: Mapping[str, float], after: Mapping[str, float]) -> None:
        epoch = seen.step // self.epoch_steps
        epochs = {number: own for number, own in self.memory.items() if int(number) >= epoch - 2}
        own = dict(epochs.get(str(epoch), {}))
        for task, loss in losses.items():
            if not math.isfinite(loss):
                continue
            summed, many = own.get(task, (0.0, 0))
            own[task] = [summed + loss, many + 1]
        self.memory = {**epochs, str(epoch): own}

    def _means(self, epoch: int) -> list[dict[str, float] | None]:
        """The mean losses of the two epochs before one; None of an epoch that was not."""
        found = (self.memory.get(str(number)) for number in (epoch - 2, epoch - 1))
        return [None if own is None else {task: s / n for task, (s, n) in own.items()} for own in found]

"""More of what is learned more slowly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, Memory, SamplingOptions, blend, spread

_FIRST = 10
"""Steps with rows of a task whose mean loss is where it started from."""
_MOST = 100.0
"""A loss counts as at most this many times the average, so that a single one does not decide the draws for long."""


class LossRatioOptions(SamplingOptions):
    """The keys of `kind = "loss_ratio"`."""

    temperature: float = Field(1.0, gt=0)
    """The higher, the nearer to uniform."""
    keep: float = Field(0.95, ge=0, lt=1)
    """How much of the moving average of a task's loss is kept at each step."""
    explore: float = Field(0.1, gt=0, le=1)
    """The share that is always spread evenly, so that nothing is forgotten."""


@SAMPLERS.register("loss_ratio", LossRatioOptions)
@dataclass(frozen=True, kw_only=True)
class LossRatio(AdaptiveSampler):
    """p ∝ r^(1/T), where r is how much of its first loss a data set still has.

    r is the inverse training rate L(t) / L(0) of GradNorm (Chen et al. 2018, section 3.1), which weighs losses by it;
    here rows are drawn by it. L(t) is a moving average, L(0) the mean of a task's first ten steps; a data set with
    several tasks takes the mean of their ratios. With explore = ε the probabilities are (1 − ε) p + ε / datasets.
    A loss counts as at most 100 times the average, a negative one counts as 0, and one that is not finite is left out.

    Args:
        temperature: T > 0.
        keep: of the moving average, from 0 to below 1.
        explore: ε, above 0.
    """

    temperature: float
    keep: float
    explore: float

    def start(self) -> Memory:
        return {"first": {}, "seen": {}, "now": {}}

    def learn(self, memory: Memory, feedback: Feedback) -> Memory:
        first, seen, now = (dict[str, Any](memory[key]) for key in ("first", "seen", "now"))
        for task, loss in feedback.losses.items():
            if not math.isfinite(loss):
                continue
            usual = max(now.get(task, 0.0), first.get(task, 0.0) / _MOST)
            loss = min(max(loss, 0.0), _MOST * usual) if usual > 0 else max(loss, 0.0)
            many = seen.get(task, 0)
            if many < _FIRST:
                first[task] = (first.get(task, 0.0) * many + loss) / (many + 1)
                seen[task] = many + 1
            now[task] = blend(now.get(task), loss, keep=self.keep)
        return {"first": first, "seen": seen, "now": now}

    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        first = memory["first"]
        ratios = {task: now / first[task] for task, now in memory["now"].items() if first[task] > 0}
        own = [1.0 if ratio is None else max(ratio, 0.0) for ratio in self.of_datasets(ratios)]
        largest = max(own) or 1.0  # only the quotients of the ratios count, and powers of large ones overflow
        return spread([(ratio / largest) ** (1 / self.temperature) for ratio in own], explore=self.explore)

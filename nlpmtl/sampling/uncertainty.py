"""More of what the model is unsure of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import AdaptiveSampler, Feedback, Memory, SamplingOptions, blend, mean, spread


class UncertaintyOptions(SamplingOptions):
    """The keys of `kind = "uncertainty"`."""

    keep: float = Field(0.95, ge=0, lt=1)
    """How much of the moving average of a task's uncertainty is kept at each step."""
    explore: float = Field(0.1, gt=0, le=1)
    """The share that is always spread evenly, so that nothing is forgotten."""


@SAMPLERS.register("uncertainty", UncertaintyOptions)
@dataclass(frozen=True, kw_only=True)
class Uncertainty(AdaptiveSampler):
    """p ∝ U, the entropy of the answers on a data set's rows over the largest that it could be.

    U = H / H_max is the uncertainty of CA-MTL (Pilault et al. 2021, section 2.3), which scores the rows of a larger
    batch by it and trains on the most uncertain ones. Here it chooses data sets, by a moving average over the rows that
    were trained on, and so costs no forward of its own. A data set that was not seen yet, or whose tasks are all
    regressions, which have no entropy, takes the mean of the others.

    Args:
        keep: of the moving average, from 0 to below 1.
        explore: ε, above 0; the probabilities are (1 − ε) p + ε / datasets.
    """

    needs_uncertainties: ClassVar[bool] = True

    keep: float
    explore: float

    def start(self) -> Memory:
        return {"now": {}}

    def learn(self, memory: Memory, feedback: Feedback) -> Memory:
        now = memory["now"]
        defined = {task: max(one, 0.0) for task, one in feedback.uncertainties.items() if math.isfinite(one)}
        seen = {task: blend(now.get(task), one, keep=self.keep) for task, one in defined.items()}
        return {"now": {**now, **seen}}

    def probabilities_after(self, step: int, memory: Memory) -> tuple[float, ...]:
        own = self.of_datasets(memory["now"])
        usual = mean(one for one in own if one is not None)
        return spread([1.0 if usual is None else usual if one is None else one for one in own], explore=self.explore)

"""Weights drawn at random, anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting.base import Seen, Weighting


@WEIGHTINGS.register("random")
@dataclass(kw_only=True)
class RandomWeights(Weighting):
    """Random loss weighting (Lin et al. 2022, Reasonable Effectiveness of Random Weighting): a baseline.

    λ = K · softmax(z), z ~ N(0, 1), for K tasks. The paper's weights sum to 1; these to K, as equal weights do. They
    are a function of the seed and the step.
    """

    def weigh(self, seen: Seen) -> dict[str, float]:
        drawn = np.exp(np.random.default_rng([self.seed, seen.step]).standard_normal(len(self.tasks)))
        weights = dict(zip(sorted(self.tasks), (len(self.tasks) * drawn / drawn.sum()).tolist(), strict=True))
        return {task: weights[task] for task in seen.shares}

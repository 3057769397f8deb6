"""Annealed sampling (Stickland and Murray, 2019): from proportional to nearly uniform over the course of training.

    p_i ∝ n_i^α        α = 1 − 0.8 · e / (E − 1)

Symbols:
- p_i: probability of dataset i
- n_i: number of train rows of dataset i
- α: exponent, which falls from 1 in the first epoch to 0.2 in the last and is constant within an epoch
- e: epoch, from 0 to E − 1
- E: number of epochs of the run, rounded up

Departures from the paper:
- The paper counts epochs from 1.
- A run of a single epoch has α = 1.

References:
    Stickland and Murray (2019), BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task
        Learning, ICML, https://arxiv.org/abs/1902.02671

Example:
    >>> from nlpmtl.sampling import Annealed
    >>> sampler = Annealed(sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0)
    >>> [tuple(round(p, 3) for p in sampler.probabilities(step)) for step in (0, 100, 200)]
    [(0.1, 0.9), (0.211, 0.789), (0.392, 0.608)]
"""

from __future__ import annotations

import math

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize_power


@SAMPLERS.register("annealed", SamplingOptions)
class Annealed(Sampler):
    """Annealed sampling: from proportional to nearly uniform over the run (Stickland and Murray, 2019)."""

    def probabilities(self, step: int) -> tuple[float, ...]:
        last = math.ceil(self.total_steps / self.epoch_steps) - 1
        epoch = min(step // self.epoch_steps, last)
        return normalize_power(self.sizes, exponent=1 - 0.8 * epoch / last if last else 1.0)

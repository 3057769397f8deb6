"""From proportional to nearly uniform in the course of the run."""

from __future__ import annotations

import math

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize_power


@SAMPLERS.register("annealed", SamplingOptions)
class Annealed(Sampler):
    """p ∝ n^α with α = 1 − 0.8 · e / (E − 1), for n train rows, in epoch e = 0, 1, … of E.

    The annealed sampling of BERT and PALs (Stickland and Murray 2019), which counts e from 1. α falls from 1 to 0.2 and
    is constant within an epoch; the last epoch may be a part of one. A run of one epoch keeps α = 1.
    """

    def probabilities(self, step: int) -> tuple[float, ...]:
        last = math.ceil(self.total_steps / self.epoch_steps) - 1
        epoch = min(step // self.epoch_steps, last)
        return normalize_power(self.sizes, exponent=1 - 0.8 * epoch / last if last else 1.0)

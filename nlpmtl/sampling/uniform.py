"""Uniform sampling, also called equal mixing (Raffel et al., 2020): all datasets are drawn equally often.

    p_i = 1 / D

Symbols:
- p_i: probability of dataset i
- D: number of datasets

Rows of a small dataset are repeated more often than those of a large one.

References:
    Raffel, Shazeer, Roberts, Lee, Narang, Matena, Zhou, Li and Liu (2020), Exploring the Limits of Transfer Learning
        with a Unified Text-to-Text Transformer, JMLR 21, section 3.5.2, https://arxiv.org/abs/1910.10683

Example:
    >>> from nlpmtl.sampling import Uniform
    >>> sampler = Uniform(sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0)
    >>> sampler.probabilities(0)
    (0.5, 0.5)
"""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


@SAMPLERS.register("uniform", SamplingOptions)
class Uniform(Sampler):
    """Uniform sampling: all datasets are drawn equally often."""

    other_names = "uniform_sampling equal equal_mixing"

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([1.0] * len(self.sizes))

"""Proportional sampling: datasets are drawn in proportion to their size, as if they were concatenated.

    p_i ∝ n_i

Symbols:
- p_i: probability of dataset i
- n_i: number of train rows of dataset i

Every row is used equally often. This is examples-proportional mixing without a limit (Raffel et al., 2020).

References:
    Raffel, Shazeer, Roberts, Lee, Narang, Matena, Zhou, Li and Liu (2020), Exploring the Limits of Transfer Learning
        with a Unified Text-to-Text Transformer, JMLR 21, section 3.5.2, https://arxiv.org/abs/1910.10683

Example:
    >>> from nlpmtl.sampling import Proportional
    >>> sampler = Proportional(sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0)
    >>> sampler.probabilities(0)
    (0.1, 0.9)
"""

from __future__ import annotations

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


@SAMPLERS.register("proportional", SamplingOptions)
class Proportional(Sampler):
    """Proportional sampling: every row is used equally often."""

    other_names = "proportional_sampling size_proportional concat concatenate"

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize(self.sizes)

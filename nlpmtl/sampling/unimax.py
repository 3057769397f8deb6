"""UniMax sampling (Chung et al., 2023): as uniform as possible with at most N epochs of each dataset.

    from the smallest dataset to the largest:  b_i = min(B / d, N · n_i),  B ← B − b_i        p_i ∝ b_i

Symbols:
- b_i: rows that are taken from dataset i
- B: rows that are left to distribute; total_steps · rows_per_step at the start
- d: number of datasets that are left, including i
- N: option `max_epochs`, > 0
- n_i: number of train rows of dataset i
- p_i: probability of dataset i

If Σ_i N · n_i is below the number of rows of the run, the limit cannot be met. In this case p_i ∝ N · n_i: each
dataset is used for the same number of epochs, more than N.

Departures from the paper:
- The paper counts characters of text, this implementation counts rows.
- The default N = 4 is a choice of this library.

References:
    Chung, Constant, Garcia, Roberts, Tay, Narang and Firat (2023), UniMax: Fairer and more Effective Language Sampling
        for Large-Scale Multilingual Pretraining, ICLR, https://arxiv.org/abs/2304.09151

Example:
    >>> from nlpmtl.sampling import UniMax
    >>> sampler = UniMax(sizes=[100, 900], total_steps=160, epoch_steps=100, rows_per_step=10, seed=0, max_epochs=4.0)
    >>> sampler.probabilities(0)
    (0.25, 0.75)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


class UniMaxOptions(SamplingOptions):
    """Options of `UniMax`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "max_epochs": "n epochs repeats max_repeats n_epochs num_epochs epoch_cap",
    }

    max_epochs: float = Field(4.0, gt=0)
    """Maximum number of epochs of a dataset over the whole run."""


@SAMPLERS.register("unimax", UniMaxOptions)
@dataclass(frozen=True, kw_only=True)
class UniMax(Sampler):
    """UniMax: as uniform as possible with a limit on epochs per dataset (Chung et al., 2023).

    Args:
        max_epochs: N > 0.
    """

    max_epochs: float

    def probabilities(self, step: int) -> tuple[float, ...]:
        row_counts = [0.0] * len(self.sizes)
        budget = float(self.total_steps * self.rows_per_step)
        ascending = sorted(range(len(self.sizes)), key=lambda index: self.sizes[index])
        for finished, index in enumerate(ascending):
            row_counts[index] = min(budget / (len(ascending) - finished), self.sizes[index] * self.max_epochs)
            budget -= row_counts[index]
        return normalize(row_counts)

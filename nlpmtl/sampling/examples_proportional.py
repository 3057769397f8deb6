"""Examples-proportional mixing with a limit on dataset size (T5; Raffel et al., 2020).

    p_i ∝ min(n_i, K)

Symbols:
- p_i: probability of dataset i
- n_i: number of train rows of dataset i
- K: option `cap`, the largest number of rows that a dataset counts for

K limits how often a dataset is drawn, not which rows are used: all rows of a large dataset are used in turn.

Departures from the paper:
- The default is K = 2^16, the smallest value in the paper, which goes up to 2^21 because its mixture also holds an
  unlabelled corpus. With 2^16 the limit applies to four of the nine datasets of GLUE.

References:
    Raffel, Shazeer, Roberts, Lee, Narang, Matena, Zhou, Li and Liu (2020), Exploring the Limits of Transfer Learning
        with a Unified Text-to-Text Transformer, JMLR 21, section 3.5.2, https://arxiv.org/abs/1910.10683

Example:
    >>> from nlpmtl.sampling import Capped
    >>> sampler = Capped(sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0, cap=300)
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


class CappedOptions(SamplingOptions):
    """Options of `Capped`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "cap": "k limit max_examples max_rows max_size maximum artificial_size_limit",
    }

    cap: int = Field(2**16, gt=0)
    """Maximum number of rows that a dataset counts for."""


@SAMPLERS.register("capped", CappedOptions)
@dataclass(frozen=True, kw_only=True)
class Capped(Sampler):
    """Proportional to dataset size up to a limit (T5's examples-proportional mixing; Raffel et al., 2020).

    Args:
        cap: limit K in rows, ≥ 1.
    """

    other_names = "examples_proportional examples_proportional_mixing"

    cap: int

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([min(size, self.cap) for size in self.sizes])

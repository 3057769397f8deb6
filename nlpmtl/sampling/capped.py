"""In proportion to the rows, large data sets counted as if they were smaller."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize


class CappedOptions(SamplingOptions):
    """The keys of `kind = "capped"`."""

    cap: int = Field(2**16, gt=0)
    """The most rows that a data set counts for."""


@SAMPLERS.register("capped", CappedOptions)
@dataclass(frozen=True, kw_only=True)
class Capped(Sampler):
    """p ∝ min(n, K), for n train rows and the cap K.

    The examples-proportional mixing of T5 (Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer, section 3.5.2), whose mixture holds an unlabelled corpus too and which varies K from 2^16
    to 2^21. The default is the lowest of these, because labelled data sets are small: in GLUE it caps four of nine.

    Args:
        cap: K ≥ 1. It limits how often a data set is picked, not which of its rows: all of them are used in turn.
    """

    cap: int

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize([min(size, self.cap) for size in self.sizes])

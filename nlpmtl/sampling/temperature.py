"""Temperature-based sampling (Devlin et al., 2019; Arivazhagan et al., 2019).

    p_i ∝ n_i^(1/T)

Symbols:
- p_i: probability of dataset i
- n_i: number of train rows of dataset i
- T: option `temperature`, > 0; 1 is proportional sampling, and the larger T is, the closer the sampling is to uniform

Multilingual BERT smooths the sizes of languages with the exponent 0.7 (T ≈ 1.4); Arivazhagan et al. introduce the
temperature and take T = 5. The default here is T = 2.

References:
    Devlin, Chang, Lee and Toutanova (2019), Multilingual BERT, "Data Source and Sampling",
        https://github.com/google-research/bert/blob/master/multilingual.md
    Arivazhagan et al. (2019), Massively Multilingual Neural Machine Translation in the Wild: Findings and Challenges,
        https://arxiv.org/abs/1907.05019

Example:
    >>> from nlpmtl.sampling import Temperature
    >>> sampler = Temperature(
    ...     sizes=[100, 900], total_steps=300, epoch_steps=100, rows_per_step=10, seed=0, temperature=2.0
    ... )
    >>> sampler.probabilities(0)
    (0.25, 0.75)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize_power


class TemperatureOptions(SamplingOptions):
    """Options of `Temperature`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "temperature": "t tau temp sampling_temperature",
        "temperature, which is 1 / alpha": "alpha exponent power smoothing smoothing_factor",
    }

    temperature: float = Field(2.0, gt=0)
    """Sampling temperature; 1: proportional to the number of rows; the larger, the closer to uniform."""


@SAMPLERS.register("temperature", TemperatureOptions)
@dataclass(frozen=True, kw_only=True)
class Temperature(Sampler):
    """Temperature-based sampling: probability ∝ size^(1/T) (Arivazhagan et al., 2019).

    Args:
        temperature: T > 0.
    """

    other_names = "temperature_sampling temperature_scaled sqrt square_root"

    temperature: float

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize_power(self.sizes, exponent=1 / self.temperature)

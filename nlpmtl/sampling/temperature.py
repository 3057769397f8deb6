"""Between proportional and uniform, by a temperature."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling.base import Sampler, SamplingOptions, normalize_power


class TemperatureOptions(SamplingOptions):
    """The keys of `kind = "temperature"`."""

    temperature: float = Field(2.0, gt=0)
    """1: in proportion to the rows; the higher, the nearer to uniform."""


@SAMPLERS.register("temperature", TemperatureOptions)
@dataclass(frozen=True, kw_only=True)
class Temperature(Sampler):
    """p ∝ n^(1/T), for n train rows and the temperature T.

    Devlin et al. 2019 smooth the languages of multilingual BERT by the exponent 0.7 (T ≈ 1.4); Arivazhagan et al. 2019,
    Massively Multilingual Neural Machine Translation in the Wild, name the temperature, and take T = 5.

    Args:
        temperature: T > 0.
    """

    temperature: float

    def probabilities(self, step: int) -> tuple[float, ...]:
        return normalize_power(self.sizes, exponent=1 / self.temperature)

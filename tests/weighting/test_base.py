"""The base class of weightings."""

from __future__ import annotations

import pytest

from nlpmtl import ConfigError
from nlpmtl.weighting import Weighting


def test_an_unknown_requirement_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Typo: `requires` is 'loss'; known: 'nothing', 'losses', 'gradients'"):
        type("Typo", (Weighting,), {"requires": "loss"})


def test_a_weighting_must_define_compute_weights() -> None:
    class Silent(Weighting): ...

    with pytest.raises(TypeError, match="weigh"):
        Silent(tasks=["a"], epoch_steps=1, seed=0)  # type: ignore[abstract]

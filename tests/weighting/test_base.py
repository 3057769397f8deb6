"""The base class of weightings."""

from __future__ import annotations

import pytest

from nlpmtl.weighting import Weighting


def test_a_weighting_must_define_compute_weights() -> None:
    class Silent(Weighting): ...

    with pytest.raises(TypeError, match="weigh"):
        Silent(tasks=["a"], epoch_steps=1, seed=0)  # type: ignore[abstract]

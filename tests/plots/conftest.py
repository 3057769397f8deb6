"""Fixtures of the tests of plots."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def drawn(drawn_plots: None) -> None:
    """Draw the plots that these tests look at."""

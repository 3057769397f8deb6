"""Plots of one pixel, for runs of tests that don't look at plots: drawing takes half of the time of a short run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from nlpmtl import plots


def _no_figure(*args: Any, **options: Any) -> None:
    return None


def _one_pixel(figure: None) -> bytes:
    png = BytesIO()
    Image.new("RGB", (1, 1)).save(png, format="png")
    return png.getvalue()


_FIGURES = (
    "affinity_map",
    "learning_curve",
    "reliability_diagram",
    "score_differences",
    "task_dendrogram",
    "training_dynamics",
)
PLACEHOLDERS: Mapping[str, Any] = {
    **dict.fromkeys(_FIGURES, _no_figure),
    "_PREDICTION_PLOTS": {kind: (_no_figure, describe) for kind, (_, describe) in plots._PREDICTION_PLOTS.items()},
    "to_png": _one_pixel,
}
DRAWN: Mapping[str, Any] = {name: getattr(plots, name) for name in PLACEHOLDERS}


@contextmanager
def replaced(functions: Mapping[str, Any]) -> Iterator[None]:
    """Replace attributes of `nlpmtl.plots`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in functions.items():
            patch.setattr(plots, name, function)
        yield

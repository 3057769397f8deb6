"""Public names and examples of `nlpmtl.metrics`."""

from __future__ import annotations

import doctest
import importlib

import pytest

import nlpmtl.metrics
from nlpmtl.registry import METRICS


def test_the_examples_run() -> None:
    # Not `nlpmtl.metrics.scores`: that name is the function.
    for module in (nlpmtl.metrics, *(importlib.import_module(f"nlpmtl.metrics.{name}") for name in ("squad", "tags"))):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_public_names() -> None:
    functions = "answer_f1 check is_exact_match load_foreign reads_losses scores spans task_score"
    metrics = {METRICS.get(name).__name__ for name in METRICS.names()}
    assert set(nlpmtl.metrics.__all__) == {*metrics, *functions.split(), "CombinedMetric", "Metric", "PredictionType"}
    assert all(hasattr(nlpmtl.metrics, name) for name in nlpmtl.metrics.__all__)


def test_the_old_name_of_the_prediction_type_warns() -> None:
    with pytest.warns(FutureWarning, match="Shape is deprecated.*: use PredictionType instead"):
        assert nlpmtl.metrics.Shape is str
    with pytest.raises(AttributeError, match="has no attribute 'Shapes'"):
        _ = nlpmtl.metrics.Shapes

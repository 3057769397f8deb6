"""Public names and examples of `nlpmtl.metrics`."""

from __future__ import annotations

import doctest
import importlib

import pytest

import nlpmtl.metrics


def test_the_examples_run() -> None:
    # Not `nlpmtl.metrics.scores`: that name is the function.
    for module in (nlpmtl.metrics, importlib.import_module("nlpmtl.metrics.tags")):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_public_names() -> None:
    members = "F1 Accuracy Loss MacroF1 MatthewsCorrelation MeanAbsoluteError MeanSquaredError Metric MicroF1 Pearson"
    others = "Perplexity PredictionType RelationF1 SpanF1 Spearman TokenAccuracy check load_foreign reads_losses scores"
    assert nlpmtl.metrics.__all__ == [*members.split(), *others.split(), "spans", "task_score"]
    assert all(hasattr(nlpmtl.metrics, name) for name in nlpmtl.metrics.__all__)


def test_the_old_name_of_the_prediction_type_warns() -> None:
    with pytest.warns(FutureWarning, match="Shape is deprecated.*: use PredictionType instead"):
        assert nlpmtl.metrics.Shape is str
    with pytest.raises(AttributeError, match="has no attribute 'Shapes'"):
        _ = nlpmtl.metrics.Shapes

from __future__ import annotations

import doctest
import importlib

import nlpmtl.metrics


def test_the_examples_run() -> None:
    # Not `nlpmtl.metrics.scores`: that name is the function.
    for module in (nlpmtl.metrics, importlib.import_module("nlpmtl.metrics.tags")):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_public_names() -> None:
    members = "F1 Accuracy MacroF1 MatthewsCorrelation MeanAbsoluteError MeanSquaredError Metric MicroF1 Pearson Shape"
    others = "SpanF1 Spearman TokenAccuracy check load_foreign scores spans task_score"
    assert nlpmtl.metrics.__all__ == [*members.split(), *others.split()]
    assert all(hasattr(nlpmtl.metrics, name) for name in nlpmtl.metrics.__all__)

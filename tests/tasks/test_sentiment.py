"""Sentiment: polarity and errors on an ordered scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Classification, Sentiment, build_task
from tests.tasks.kinds import batch_of, formatted, ids_of, loss, score

TASK: dict[str, Any] = {"name": "t", "labels": ["bad", "so-so", "good"], "metrics": None, "input": "text"}


def polarity(logits: list[float]) -> float:
    labels = [f"l{i}" for i in range(len(logits))]
    prediction = formatted(Sentiment(**{**TASK, "labels": labels}), np.array(logits), text="x", words=[])
    assert set(prediction) == {"label", "score", "polarity"}
    value = prediction["polarity"]
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([1e4, 0, 0], -1),
        ([0, 1e4, 0], 0),
        ([0, 0, 1e4], 1),
        ([0, 1e4, 0, 0, 0], -0.5),
        ([0, 1e4], 1),
        ([0, 0, 0], 0),
        ([0, 0], 0),
        ([0, np.log(3)], 0.5),
    ],
)
def test_polarity_is_the_expected_rank_on_the_scale(logits: list[float], expected: float) -> None:
    assert polarity(logits) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=6))
def test_polarity_is_on_the_scale_and_changes_sign_with_its_direction(logits: list[float]) -> None:
    assert -1 <= polarity(logits) <= 1
    assert polarity(logits[::-1]) == pytest.approx(-polarity(logits), abs=1e-9)


def test_a_sentiment_is_otherwise_a_classification() -> None:
    ours, theirs = Sentiment(**TASK, label_smoothing=0.1), Classification(**TASK, label_smoothing=0.1)
    logits, labels, _ = batch_of(ours)
    assert loss(ours, logits, labels) == loss(theirs, logits, labels)
    row = logits[0].numpy()
    assert ids_of(ours, row) == ids_of(theirs, row)
    assert formatted(theirs, row, text="x", words=[]).items() <= formatted(ours, row, text="x", words=[]).items()


def test_errors_are_measured_in_steps_of_the_scale() -> None:
    scores = score(Sentiment(**TASK), predicted=[0, 2, 1], gold=[0, 0, 2], names=TASK["labels"])
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["mae"] == pytest.approx(1.0)
    macro = scores["macro_f1"]
    assert macro is not None
    assert scores["score"] == pytest.approx((1 / 3 + macro) / 2)  # errors are not part of polarity


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "labels"),
        ({"labels": None}, "labels"),
        ({"labels": ["one"]}, "at least 2"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"labels": ["a", "b"], "pos_label": "a"}, "pos_label"),
    ],
)
def test_the_scale_must_be_declared(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS.parse({"kind": "sentiment", "label": "l", **given})


def test_f1_is_refused_without_a_positive_label() -> None:
    options = TASKS.parse({"kind": "sentiment", "label": "l", "labels": ["a", "b"], "metrics": ["f1"]})
    with pytest.raises(ConfigError, match="pos_label"):
        build_task(options, name="t", labels=["a", "b"], input="text")  # type: ignore[arg-type]

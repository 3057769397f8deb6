"""Constant task weights."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import nlpmtl.weighting as weighting
from nlpmtl.errors import ConfigError
from nlpmtl.registry import WEIGHTINGS


def build(weights: dict[str, float]) -> dict[str, float]:
    options = WEIGHTINGS.parse({"kind": "constant", "weights": weights})
    tasks = ["slots", "intent"]
    built = WEIGHTINGS.build(options, weighting.Weighting, tasks=tasks, epoch_steps=1, seed=0)
    return built.compute_weights(weighting.StepObservation(0, dict.fromkeys(tasks, 0.5)))


def test_unlisted_tasks_have_weight_1() -> None:
    assert build({"slots": 0.25}) == {"slots": 0.25, "intent": 1.0}
    assert build({}) == {"slots": 1.0, "intent": 1.0}


def test_0_is_a_weight() -> None:
    assert build({"intent": 0})["intent"] == 0.0


def test_a_weight_of_an_unknown_task_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"weighting\.weights\.slot: no such task; did you mean 'slots'\?"):
        build({"slot": 2.0})


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), "much", None])
def test_invalid_weights(wrong: float) -> None:
    with pytest.raises(ValidationError, match="slots"):
        build({"slots": wrong})

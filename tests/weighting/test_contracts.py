"""What holds for every registered weighting."""

from __future__ import annotations

import math

import pytest

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import Weighting

pytestmark = pytest.mark.parametrize("kind", WEIGHTINGS.names())


def build(kind: str, tasks: list[str]) -> Weighting:
    return WEIGHTINGS.build(WEIGHTINGS.parse({"kind": kind}), Weighting, tasks=tasks)


def test_each_task_has_a_weight(kind: str) -> None:
    weights = build(kind, ["a", "type", "c-1"]).weights()
    assert list(weights) == ["a", "type", "c-1"]
    assert all(math.isfinite(weight) and weight >= 0 for weight in weights.values())
    assert sum(weights.values()) > 0


def test_one_task_alone_weighs_1(kind: str) -> None:
    assert build(kind, ["a"]).weights() == {"a": 1.0}


def test_an_answer_is_the_callers_own(kind: str) -> None:
    weighting = build(kind, ["a", "b"])
    weighting.weights()["a"] = 99.0
    assert weighting.weights()["a"] != 99.0


def test_the_order_of_tasks_does_not_matter(kind: str) -> None:
    assert build(kind, ["a", "b"]).weights() == build(kind, ["b", "a"]).weights()

"""Contracts of every registered weighting."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting import StepObservation, Weighting

pytestmark = pytest.mark.parametrize("kind", WEIGHTINGS.names())

TASKS = ["a", "type", "c-1"]


def build(kind: str, tasks: list[str]) -> Weighting:
    return WEIGHTINGS.build(WEIGHTINGS.parse({"kind": kind}), Weighting, tasks=tasks, epoch_steps=3, seed=5)


def steps(count: int, tasks: list[str]) -> list[tuple[StepObservation, dict[str, float]]]:
    """Return observations of steps with the losses after each; not every task has rows in each step."""
    source = np.random.default_rng(1)
    history = []
    for step in range(count):
        present = [task for task in tasks if (step + TASKS.index(task)) % 4]
        rows = {task: float(source.integers(1, 9)) for task in sorted(present)}
        losses = {task: float(source.uniform(0.5, 2.0)) for task in sorted(present)}
        after = {task: loss * 0.9 for task, loss in losses.items()}
        gradients = {task: source.standard_normal(6) for task in sorted(present)}
        matrix = np.stack([gradients[task] for task in present])
        fractions = {task: rows[task] / sum(rows.values()) for task in present}
        observation = StepObservation(step, fractions, {task: losses[task] for task in present}, matrix @ matrix.T)
        history.append((observation, {task: after[task] for task in present}))
    return history


def play(weighting: Weighting, history: list[tuple[StepObservation, dict[str, float]]]) -> list[dict[str, float]]:
    weights = []
    for observation, after in history:
        weights.append(weighting.compute_weights(observation))
        weighting.update(observation, losses=observation.losses, post_step_losses=after)
    return weights


def test_each_task_with_rows_has_a_weight(kind: str) -> None:
    for weights, (observation, _) in zip(play(build(kind, TASKS), history := steps(5, TASKS)), history, strict=True):
        assert list(weights) == list(observation.label_fractions)
        assert all(math.isfinite(weight) for weight in weights.values())


def test_a_single_task_has_weight_1_at_first(kind: str) -> None:
    observation = StepObservation(0, {"a": 1.0}, {"a": 0.7}, np.array([[0.3]]))
    assert build(kind, ["a"]).compute_weights(observation) == {"a": pytest.approx(1.0)}


def test_a_step_without_rows_is_accepted(kind: str) -> None:
    assert build(kind, TASKS).compute_weights(StepObservation(0, {})) == {}


def test_returned_weights_may_be_modified(kind: str) -> None:
    weighting = build(kind, ["a", "type"])
    observation = steps(1, ["a", "type"])[0][0]
    weighting.compute_weights(observation)["type"] = 99.0
    assert weighting.compute_weights(observation)["type"] != 99.0


def test_the_order_of_tasks_does_not_matter(kind: str) -> None:
    reference = play(build(kind, TASKS), steps(5, TASKS))
    order = list(reversed(TASKS))
    other = play(build(kind, order), steps(5, order))
    for weights, again in zip(reference, other, strict=True):
        assert weights == pytest.approx(again, rel=1e-9)


def test_state_round_trips_through_json(kind: str) -> None:
    shown = steps(7, TASKS)
    full = play(build(kind, TASKS), shown)
    for step in (1, 4):
        first, second = build(kind, TASKS), build(kind, TASKS)
        play(first, shown[:step])
        second.state = json.loads(json.dumps(first.state))
        assert play(second, shown[step:]) == full[step:], step


def test_non_adaptive_weightings_have_no_state(kind: str) -> None:
    weighting = build(kind, TASKS)
    if not weighting.is_adaptive:
        for observation, after in steps(4, TASKS):
            weighting.update(observation, losses=observation.losses, post_step_losses=after)
        assert weighting.state == {}


def test_unknown_options_are_refused(kind: str) -> None:
    given: dict[str, Any] = {"kind": kind, "wieght": 1}
    with pytest.raises(ValueError, match="wieght"):
        WEIGHTINGS.parse(given)

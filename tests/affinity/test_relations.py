"""Readings of the measurements in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlpmtl.affinity.relations import Relations, summarize

TASKS = ("a", "b", "c")


def measured(means: list[list[float]], *, noise: float, count: int = 24, encoders: int = 2) -> Relations:
    generator = np.random.default_rng(0)
    values = np.array(means) + noise * generator.normal(size=(count, 3, 3))
    return summarize(
        TASKS,
        affinities=values,
        self_affinities=np.diagonal(values, axis1=1, axis2=2) - 0.1,
        cosines={"all": values},
        encoders=encoders,
        steps=60,
        measured=tuple(range(count)),
        rows=8,
    )


def readings(result: Relations) -> dict[tuple[str, str], str]:
    return {pair.tasks: pair.reading for pair in result.pairs}


def test_help_harm_and_neither() -> None:
    result = measured([[1.0, 0.5, 0.0], [0.4, 1.0, -0.5], [0.0, -0.3, 1.0]], noise=0.05)
    assert readings(result) == {
        ("a", "b"): "help each other",
        ("a", "c"): "unrelated",
        ("b", "c"): "hurt each other",
    }
    assert result.pairs[0].tasks == ("a", "b"), "the pair with the highest affinity comes first"
    assert result.pairs[-1].tasks == ("b", "c")


def test_an_effect_in_one_direction() -> None:
    result = measured([[1.0, 0.5, 0.5], [0.0, 1.0, 0.0], [-0.5, 0.0, 1.0]], noise=0.05)
    assert readings(result)["a", "b"] == "a helps b"
    assert readings(result)["a", "c"] == "a helps c, c hurts a"


@pytest.mark.parametrize(("noise", "reading"), [(0.05, "unrelated"), (2.0, "unclear")])
def test_small_effects_are_unrelated_and_noisy_ones_unclear(noise: float, reading: str) -> None:
    assert set(readings(measured(np.eye(3).tolist(), noise=noise)).values()) == {reading}


def test_significant_but_negligible_effects_are_unrelated() -> None:
    result = measured([[1.0, 0.1, -0.1], [0.1, 1.0, 0.1], [-0.1, 0.5, 1.0]], noise=0.05)
    assert result.affinity.significant.all()
    assert readings(result) == {("a", "b"): "unrelated", ("a", "c"): "unrelated", ("b", "c"): "c helps b"}


def test_the_relations_of_a_task_that_is_not_learning_are_unclear() -> None:
    result = measured([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.1]], noise=0.02)
    assert result.not_learning == ("c",)
    assert readings(result) == {("a", "b"): "unrelated", ("a", "c"): "unclear", ("b", "c"): "unclear"}


def test_groups_by_task_name() -> None:
    result = measured([[1.0, 0.5, -0.5], [0.4, 1.0, -0.5], [-0.5, -0.3, 1.0]], noise=0.05)
    assert result.groups == (("a", "b"), ("c",))
    assert result.gain.significant
    assert result.gain.mean == pytest.approx((0.5 + 0.4) / 2 + (0.5 + 0.5) / 2 + (0.5 + 0.3) / 2 - 0.05, abs=0.1)


def test_groups_chosen_on_noise_have_no_gain() -> None:
    gains = []
    for seed in range(40):
        values = np.random.default_rng(seed).normal(size=(20, 5, 5))
        result = summarize(
            "abcde",
            affinities=values,
            self_affinities=values[0],
            cosines={},
            encoders=3,
            steps=20,
            measured=(1,),
            rows=8,
        )
        gains.append(float(result.gain.mean))
        assert result.grouping.value > 0.3, "on the measurements that they were chosen on"
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains))


def test_values_that_were_not_measured_are_null_in_json() -> None:
    values = np.full((4, 2, 2), np.nan)
    result = summarize(
        ("a", "b"),
        affinities=values,
        self_affinities=values[0],
        cosines={"all": values},
        encoders=1,
        steps=9,
        measured=(1,),
        rows=8,
    )
    assert result.not_learning == ("a", "b")
    assert readings(result) == {("a", "b"): "unclear"}
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert written["affinity"]["mean"] == [[None, None], [None, None]]
    assert written["groups"] == [{"tasks": ["a", "b"], "serves": ["a", "b"]}]

"""What measurements say in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlpmtl.affinity.relations import Relations, relations

TASKS = ("a", "b", "c")


def measured(means: list[list[float]], *, noise: float, many: int = 24, encoders: int = 2) -> Relations:
    source = np.random.default_rng(0)
    values = np.array(means) + noise * source.normal(size=(many, 3, 3))
    return relations(
        TASKS,
        affinities=values,
        own=np.diagonal(values, axis1=1, axis2=2) - 0.1,
        cosines={"all": values},
        encoders=encoders,
        steps=60,
        measured=tuple(range(many)),
        rows=8,
    )


def readings(found: Relations) -> dict[tuple[str, str], str]:
    return {pair.tasks: pair.reading for pair in found.pairs}


def test_help_harm_and_neither() -> None:
    found = measured([[1.0, 0.5, 0.0], [0.4, 1.0, -0.5], [0.0, -0.3, 1.0]], noise=0.05)
    assert readings(found) == {
        ("a", "b"): "help each other",
        ("a", "c"): "unrelated",
        ("b", "c"): "hurt each other",
    }
    assert found.pairs[0].tasks == ("a", "b"), "what helps most comes first"
    assert found.pairs[-1].tasks == ("b", "c")


def test_one_way_alone() -> None:
    found = measured([[1.0, 0.5, 0.5], [0.0, 1.0, 0.0], [-0.5, 0.0, 1.0]], noise=0.05)
    assert readings(found)["a", "b"] == "a helps b"
    assert readings(found)["a", "c"] == "a helps c, c hurts a"


@pytest.mark.parametrize(("noise", "said"), [(0.05, "unrelated"), (2.0, "unclear")])
def test_unrelated_is_said_of_what_is_small_and_unclear_of_what_is_not_known(noise: float, said: str) -> None:
    assert set(readings(measured(np.eye(3).tolist(), noise=noise)).values()) == {said}


def test_what_is_surely_little_is_no_help_and_no_harm() -> None:
    found = measured([[1.0, 0.1, -0.1], [0.1, 1.0, 0.1], [-0.1, 0.5, 1.0]], noise=0.05)
    assert found.affinity.clear.all(), "it can be told from noise"
    assert readings(found) == {("a", "b"): "unrelated", ("a", "c"): "unrelated", ("b", "c"): "c helps b"}


def test_of_a_task_that_is_not_learning_nothing_is_known() -> None:
    found = measured([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.1]], noise=0.02)
    assert found.not_learning == ("c",)
    assert readings(found) == {("a", "b"): "unrelated", ("a", "c"): "unclear", ("b", "c"): "unclear"}


def test_groups_by_their_names() -> None:
    found = measured([[1.0, 0.5, -0.5], [0.4, 1.0, -0.5], [-0.5, -0.3, 1.0]], noise=0.05)
    assert found.groups == (("a", "b"), ("c",))
    assert found.gain.clear
    assert found.gain.mean == pytest.approx((0.5 + 0.4) / 2 + (0.5 + 0.5) / 2 + (0.5 + 0.3) / 2 - 0.05, abs=0.1)


def test_the_gain_of_groups_that_noise_chose_is_none() -> None:
    gains = []
    for seed in range(40):
        values = np.random.default_rng(seed).normal(size=(20, 5, 5))
        found = relations(
            "abcde", affinities=values, own=values[0], cosines={}, encoders=3, steps=20, measured=(1,), rows=8
        )
        gains.append(float(found.gain.mean))
        assert found.grouping.worth > 0.3, "what chose them says otherwise"
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains))


def test_json_has_no_number_that_json_lacks() -> None:
    values = np.full((4, 2, 2), np.nan)
    found = relations(
        ("a", "b"),
        affinities=values,
        own=values[0],
        cosines={"all": values},
        encoders=1,
        steps=9,
        measured=(1,),
        rows=8,
    )
    assert found.not_learning == ("a", "b")
    assert readings(found) == {("a", "b"): "unclear"}
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert said["affinity"]["mean"] == [[None, None], [None, None]]
    assert said["groups"] == [{"tasks": ["a", "b"], "serves": ["a", "b"]}]

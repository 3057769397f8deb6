"""From a run file to what its tasks have to do with each other; every kind of task, and a disk that holds no run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nlpmtl
from nlpmtl.errors import ConfigError, RunError
from tests.tiny import make_run, read_json


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relate")


@pytest.fixture(scope="module")
def run(directory: Path) -> dict[str, Any]:
    made = make_run(directory, rows=24, train={"epochs": 1, "batch_size": 6, "lr": 1e-3, "trackers": ["tensorboard"]})
    return {**made, "output": str(directory / "out")}


@pytest.fixture(scope="module")
def found(run: dict[str, Any]) -> nlpmtl.Relations:
    return nlpmtl.relate(run, steps=14)


def test_every_kind_of_task_is_measured(found: nlpmtl.Relations) -> None:
    assert found.tasks == ("topic", "mood", "places", "grade", "kinds")
    assert (found.steps, found.measured, found.rows) == (14, tuple(range(3, 15)), 6)
    assert list(found.cosines) == ["embeddings", "layer 1", "layer 2", "all"]
    for one in (*found.cosines.values(), found.affinity):
        assert one.mean.shape == one.error.shape == one.clear.shape == (5, 5)
        assert np.isfinite(one.mean).all()
    np.testing.assert_allclose(np.diag(found.cosines["all"].mean), 1.0, rtol=1e-5)
    assert (np.diag(found.affinity.mean) > 0).all(), "a step on a task helps that task"
    assert len(found.pairs) == 10
    assert sorted({task for group in found.groups for task in group}) == sorted(found.tasks)


def test_what_is_written(found: nlpmtl.Relations, directory: Path) -> None:
    assert {path.name for path in (directory / "out").iterdir()} == {
        "relate.json",
        "relate-affinity.png",
        "relate-tree.png",
    }
    said = read_json(directory / "out" / "relate.json")
    assert said == found.to_json()
    assert said["tasks"] == list(found.tasks)
    assert (said["seed"], said["precision"], said["config"]["train"]["steps"]) == (5, "fp32", 14)
    assert said["cosines"]["layer 2"]["mean"][0][1] == found.cosines["layer 2"].mean[0, 1]
    assert found.directory == directory / "out"


def test_the_same_again_from_whatever_state_of_chance(
    run: dict[str, Any], found: nlpmtl.Relations, directory: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    again = nlpmtl.relate(run, steps=14, output=tmp_path)
    np.testing.assert_array_equal(again.affinity.mean, found.affinity.mean)
    np.testing.assert_array_equal(again.cosines["all"].mean, found.cosines["all"].mean)
    assert (tmp_path / "relate-tree.png").read_bytes() == (directory / "out" / "relate-tree.png").read_bytes()
    other = nlpmtl.relate(run, steps=14, output=tmp_path, seed=6)
    assert (other.affinity.mean != found.affinity.mean).all()


def test_single_batches_and_an_encoder_for_each(run: dict[str, Any], tmp_path: Path) -> None:
    """A step of one data set alone says nothing of other tasks: what is measured are rows of all."""
    single = {**run, "sampling": {"kind": "proportional", "batches": "single"}, "train": {"batch_size": 6}}
    found = nlpmtl.relate(single, steps=10, encoders=99, output=tmp_path)
    assert np.isfinite(found.affinity.mean).all()
    assert len(found.groups) <= 5


def test_steps_left_out_are_those_of_an_epoch_within_bounds(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpmtl.affinity.driver.MIN_EPOCH_STEPS", 11)
    assert nlpmtl.relate(run, output=tmp_path).steps == 11, "an epoch is 8"
    monkeypatch.setattr("nlpmtl.affinity.driver.MIN_EPOCH_STEPS", 1)
    found = nlpmtl.relate(run, output=tmp_path)
    assert (found.steps, found.measured[-1]) == (8, 8)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"steps": 9}, "steps: at least 10 are needed to measure, found 9"),
        ({}, {"encoders": 0}, "encoders: there is at least 1, found 0"),
        ({"encoder.freeze": True}, {}, "with encoder.freeze, no weights that tasks share are trained"),
        ({"train.lrr": 1}, {}, "train.lrr: unknown key; did you mean 'lr'"),
    ],
)
def test_what_cannot_be_is_refused(
    run: dict[str, Any], change: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        nlpmtl.relate(run, **{"steps": 10, **options}, **change)


def test_without_a_place_to_write_it_asks_for_one(run: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="say where to write"):
        nlpmtl.relate({key: value for key, value in run.items() if key != "output"})


def test_one_task_alone_is_told_so(run: dict[str, Any], tmp_path: Path) -> None:
    alone = copy.deepcopy(run)
    alone["datasets"] = {"pairs": alone["datasets"]["pairs"]}
    with pytest.raises(ConfigError, match="there is nothing to relate: this run has one task, 'grade'"):
        nlpmtl.relate(alone, output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_output_that_cannot_be(run: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a directory"):
        nlpmtl.relate(run, output=tmp_path / "file")
    (tmp_path / "out" / "relate-tree.png").mkdir(parents=True)
    with pytest.raises(RunError, match="cannot be written"):
        nlpmtl.relate(run, steps=10, output=tmp_path / "out")

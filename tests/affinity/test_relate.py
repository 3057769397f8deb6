"""`nlpmtl.relate` from a config to its results: every task type, output files and errors."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nlpmtl
from nlpmtl.errors import ConfigError, RunError
from tests.tiny import make_run, read_json

pytestmark = pytest.mark.usefixtures("drawn_plots")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relate")


@pytest.fixture(scope="module")
def run(directory: Path) -> dict[str, Any]:
    config = make_run(directory, rows=24, train={"epochs": 1, "batch_size": 6, "lr": 1e-3, "trackers": ["tensorboard"]})
    return {**config, "output": str(directory / "out")}


@pytest.fixture(scope="module")
def result(run: dict[str, Any]) -> nlpmtl.Relations:
    return nlpmtl.relate(run, steps=14)


def test_every_kind_of_task_is_measured(result: nlpmtl.Relations) -> None:
    assert result.tasks == ("topic", "mood", "places", "grade", "kinds")
    assert (result.steps, result.measured, result.rows) == (14, tuple(range(3, 15)), 6)
    assert list(result.cosines) == ["embeddings", "layer 1", "layer 2", "all"]
    for estimate in (*result.cosines.values(), result.affinity):
        assert estimate.mean.shape == estimate.error.shape == estimate.significant.shape == (5, 5)
        assert np.isfinite(estimate.mean).all()
    np.testing.assert_allclose(np.diag(result.cosines["all"].mean), 1.0, rtol=1e-5)
    assert (np.diag(result.affinity.mean) > 0).all(), "a step on a task helps that task"
    assert len(result.pairs) == 10
    assert sorted({task for group in result.groups for task in group}) == sorted(result.tasks)


def test_files_of_the_result(result: nlpmtl.Relations, directory: Path) -> None:
    assert {path.name for path in (directory / "out").iterdir()} == {
        "relate.json",
        "relate-affinity.png",
        "relate-tree.png",
    }
    written = read_json(directory / "out" / "relate.json")
    assert written == result.to_json()
    assert written["tasks"] == list(result.tasks)
    assert (written["seed"], written["precision"], written["config"]["train"]["steps"]) == (5, "fp32", 14)
    assert written["cosines"]["layer 2"]["mean"][0][1] == result.cosines["layer 2"].mean[0, 1]
    assert result.directory == directory / "out"


@pytest.mark.slow
def test_results_do_not_depend_on_the_global_random_state(
    run: dict[str, Any], result: nlpmtl.Relations, directory: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    again = nlpmtl.relate(run, steps=14, output=tmp_path)
    np.testing.assert_array_equal(again.affinity.mean, result.affinity.mean)
    np.testing.assert_array_equal(again.cosines["all"].mean, result.cosines["all"].mean)
    assert (tmp_path / "relate-tree.png").read_bytes() == (directory / "out" / "relate-tree.png").read_bytes()
    other = nlpmtl.relate(run, steps=14, output=tmp_path, seed=6)
    assert (other.affinity.mean != result.affinity.mean).all()


@pytest.mark.slow
def test_single_batches_and_an_encoder_for_each(
    run: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A training step may have rows of one dataset only, but a measurement has rows of all tasks."""
    single = {**run, "sampling": {"kind": "proportional", "batches": "single"}, "train": {"batch_size": 6}}
    result = nlpmtl.relate(single, steps=10, encoders=99, output=tmp_path)
    shown = capfd.readouterr().err
    assert "training: 10 steps" in shown
    assert re.search(r"time: .*training", shown)
    assert np.isfinite(result.affinity.mean).all()
    assert len(result.groups) <= 5


@pytest.mark.slow
def test_the_default_number_of_steps_is_one_epoch_within_bounds(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nlpmtl.affinity.driver.MIN_EPOCH_STEPS", 11)
    capfd.readouterr()
    assert nlpmtl.relate(run, output=tmp_path, progress=False).steps == 11, "an epoch is 8"
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("nlpmtl.affinity.driver.MIN_EPOCH_STEPS", 1)
    result = nlpmtl.relate(run, output=tmp_path)
    assert (result.steps, result.measured[-1]) == (8, 8)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"steps": 9}, "steps: must be at least 10, found 9"),
        ({}, {"encoders": 0}, "encoders: must be at least 1, found 0"),
        ({"encoder.freeze": True}, {}, "with encoder.freeze, no shared parameters are trained"),
        ({"train.lrr": 1}, {}, "train.lrr: unknown key; did you mean 'lr'"),
    ],
)
def test_invalid_arguments(run: dict[str, Any], change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nlpmtl.relate(run, **{"steps": 10, **options}, **change)


def test_an_output_directory_is_required(run: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no output directory: set output"):
        nlpmtl.relate({key: value for key, value in run.items() if key != "output"})


def test_a_single_task_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    single = copy.deepcopy(run)
    single["datasets"] = {"pairs": single["datasets"]["pairs"]}
    with pytest.raises(ConfigError, match="nothing to relate: the run has only one task, 'grade'"):
        nlpmtl.relate(single, output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_an_output_that_cannot_be_written(run: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a directory"):
        nlpmtl.relate(run, output=tmp_path / "file")
    (tmp_path / "out" / "relate-tree.png").mkdir(parents=True)
    with pytest.raises(RunError, match="cannot be written"):
        nlpmtl.relate(run, steps=10, output=tmp_path / "out")

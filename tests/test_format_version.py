"""Format versions: newer ones are refused, files without a version are of nlpmtl 0.1."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModel

from nlpmtl import ConfigError, ModelError, MultiTaskConfig, MultiTaskModel, RunError
from nlpmtl.comparison.experiment_plan import RunPlan
from nlpmtl.comparison.run_summary import read_summary
from nlpmtl.config import parse_run
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.hub import load_model
from nlpmtl.training import read_state, recorded_overrides

NEWER = {FORMAT_KEY: FORMAT_VERSION + 1}
RULE = r"format_version is 3, and this version of nlpmtl reads up to 2.*pip install --upgrade nlpmtl"


def write(path: Path, content: Mapping[str, object]) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path.parent


def test_a_file_without_a_version_is_of_version_1() -> None:
    assert check_format_version({}, where="run.json", error=RunError) == 1
    assert check_format_version({FORMAT_KEY: FORMAT_VERSION}, where="run.json", error=RunError) == FORMAT_VERSION


@pytest.mark.parametrize("version", [0, -1, "2", 2.0, True, None, [2]])
def test_a_version_is_a_positive_integer(version: object) -> None:
    with pytest.raises(ConfigError, match=r"^a\.json: format_version must be a positive integer, found "):
        check_format_version({FORMAT_KEY: version}, where="a.json", error=ConfigError)


def test_a_newer_run_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"run\.json: {RULE}"):
        recorded_overrides(write(tmp_path / "run.json", {"config": {}, **NEWER}), excluding=())


def test_a_newer_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"state\.json: {RULE}"):
        read_state(write(tmp_path / "state.json", NEWER))


def test_a_checkpoint_of_0_1_is_refused_with_the_version_to_use(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"written by nlpmtl 0\.1.*finish the run with `pip install 'nlpmtl<0\.2'`"):
        read_state(write(tmp_path / "state.json", {"cursor": {}}))


def test_a_newer_model_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "nlpmtl", "encoder_config": {"model_type": "bert"}, "tasks": {"a": {}}, **NEWER}
    with pytest.raises(ModelError, match=rf"config\.json: {RULE}"):
        load_model(str(write(tmp_path / "config.json", config)))


@pytest.mark.parametrize("member", [MultiTaskConfig, MultiTaskModel, AutoModel], ids=lambda member: member.__name__)
def test_a_newer_model_is_refused_by_from_pretrained(member: Any, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(Path(__file__).parent / "fixtures" / "models-0.1" / "hard", model)
    assert member.from_pretrained(model) is not None
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    write(model / "config.json", {**config, **NEWER})
    with pytest.raises(ModelError, match=rf"config\.json: {RULE}"):
        member.from_pretrained(model)


def test_newer_answers_json_is_refused(tmp_path: Path) -> None:
    data = {"files": {"train": [{"text": "a cat", "topic": "x"}]}}
    tasks = {"topic": {"kind": "classification", "label": "topic"}}
    dataset = {"data": data, "input": {"text": "text"}, "tasks": tasks}
    config = parse_run({"encoder": {"name": "encoder"}, "datasets": {"messages": dataset}}, where="config")
    directory = write(tmp_path / "answers.json", {"answered": {}, **NEWER})
    with pytest.raises(RunError, match=rf"answers\.json: {RULE}"):
        read_summary(RunPlan(config, directory, None, {"messages": 1}))

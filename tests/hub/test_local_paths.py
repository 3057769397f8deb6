"""Model directories contain no local paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transformers import BertConfig

from nlpmtl.model import MultiTaskConfig, load_encoder
from tests.tiny import write_encoder

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_no_file_of_a_model_contains_a_local_path(trained: Trained) -> None:
    local_paths = {str(trained.model_dir.parents[1]), str(trained.run["encoder"]["name"])}
    files = [path for path in trained.model_dir.rglob("*") if path.is_file()]
    assert trained.model_dir / "config.json" in files
    for path in files:
        assert not [local_path for local_path in local_paths if local_path.encode() in path.read_bytes()], path


@pytest.mark.parametrize("name", ["encoder", "./encoder", "models/encoder"])
def test_a_relative_directory_is_not_written_as_a_hub_id(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_encoder(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    config = MultiTaskConfig(encoder_config=load_encoder(name).model.config)
    assert "_name_or_path" not in json.loads(config.to_json_string())["encoder_config"]


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("/home/ada/encoder", False),
        ("../encoder", False),
        ("./encoder", False),
        ("~/encoder", False),
        ("C:\\models\\encoder", False),
        ("runs/a/model", False),
        ("bert-base-cased", True),
        ("google-bert/bert-base-cased", True),
    ],
)
def test_a_config_keeps_hub_ids_and_drops_paths(name: str, is_kept: bool) -> None:
    config = MultiTaskConfig(encoder_config=BertConfig.from_dict({"_name_or_path": name}), name_or_path=name)
    text = config.to_json_string()
    assert (json.dumps(name) in text) is is_kept

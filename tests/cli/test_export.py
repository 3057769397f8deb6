"""`nlpmtl export`: its files and messages. tests/export/test_transformers_model.py tests the logits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


@pytest.mark.slow
def test_one_task_is_written(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    output = tmp_path / "topic"
    result = run_cli("export", trained.model_dir, "--to", "transformers", "--task", "topic", "--output", output)
    assert (result.exit_code, result.stderr) == (0, "")
    wrote, compared = result.stdout.splitlines()
    assert wrote.startswith(f"wrote {output}: README.md, config.json, model.safetensors, ")
    assert {path.name for path in output.iterdir()} == set(wrote.partition(": ")[2].split(", "))
    match = re.fullmatch(r"verified: maximum logit difference (\S+) \(relative to .*\)", compared)
    assert match is not None
    assert float(match[1]) < 1e-5


def test_invalid_arguments_exit_with_2(trained: Trained, run_cli: RunCli, tmp_path: Path) -> None:
    for arguments, message in (
        ([], "a transformers model has a single task: specify one of topic, mood, places, grade, kinds"),
        (["--task", "topics"], "no task 'topics'; did you mean 'topic'?"),
        (["--to", "tensorflow"], "--to tensorflow: unknown format; formats: transformers, onnx"),
    ):
        result = run_cli("export", trained.model_dir, *arguments, "--output", tmp_path / "out")
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert message in result.stderr
    result = run_cli("export", trained.model_dir, "--task", "topic", "--output", trained.model_dir)
    assert result.exit_code == 2
    assert "already exists: choose another directory or delete it" in result.stderr
    assert not (tmp_path / "out").exists()

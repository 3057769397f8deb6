"""`nlpmtl submit`: errors before a submission is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_a_model_of_other_tasks_is_a_usage_error(trained: Trained, tmp_path: Path, run_cli: RunCli) -> None:
    result = run_cli("submit", trained.model_dir, "--output", tmp_path / "glue.zip")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: the model lacks the tasks cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli: GLUE" in result.stderr
    assert not list(tmp_path.iterdir())


def test_without_network_there_is_an_error(trained: Trained, tmp_path: Path, run_cli: RunCli) -> None:
    result = run_cli("submit", trained.model_dir, "--output", tmp_path / "glue.zip", "--fill", "zeros")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: nyu-mll/glue (subset 'cola'): cannot be loaded" in result.stderr
    assert not list(tmp_path.iterdir())

"""`nlpmtl check`: the report as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_a_valid_run(trained: Trained, run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("check", run_file)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Tokens per row, before truncation at max_length = 48"
    assert lines[-1] == f"Config and data are OK: {trained.run['train']['steps']} steps"
    rows = [line.split() for line in lines]
    assert any(row[:5] == ["pairs", "train", "30", "grade", "29"] for row in rows)
    assert any(row[:3] == ["grade", "regression", "pair"] for row in rows)

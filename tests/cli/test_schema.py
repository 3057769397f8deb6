"""`nlpmtl schema`: printed, written, and the shipped copies up to date."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = Path(__file__).parents[2] / "task_configs" / "schemas"


def test_the_shipped_schemas_are_up_to_date(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("schema", "--output", tmp_path / "new")
    assert result.exit_code == 0
    written = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in written] == ["dataset.schema.json", "run.schema.json"]
    for path in written:
        shipped = (SHIPPED / path.name).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == shipped, "nlpmtl schema --output task_configs/schemas"


def test_both_on_stdout(run_cli: RunCli) -> None:
    both = json.loads(run_cli("schema").stdout)
    assert list(both) == ["run", "dataset"]
    assert both["run"] == json.loads((SHIPPED / "run.schema.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_options_of_plugins(tmp_path: Path) -> None:
    """In a process of its own, as the plugin stays registered."""
    command = [sys.executable, "-m", "nlpmtl", "schema", "--plugins", "plugin_task"]
    paths = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run(command, cwd=EXAMPLES, env=paths, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert '"interval"' in result.stdout

"""`nlpmtl compare`: a table on stdout, or JSON; progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.cli.conftest import RunCli
from tests.tiny import make_run


def test_a_table_then_json(tmp_path: Path, run_cli: RunCli, to_toml: Callable[[Mapping[str, Any]], str]) -> None:
    run = make_run(tmp_path, rows=20)
    run["datasets"] = {"words": run["datasets"]["words"]}
    run["datasets"]["words"]["tasks"].pop("mood")
    path, out = tmp_path / "run.toml", tmp_path / "out-compared"
    path.write_text(to_toml(run), encoding="utf-8")
    arguments = ["compare", path, "--seeds", "1", "--set", "train.steps=2", "--set", "eval.every=2"]
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.stderr
    messages = result.stderr.splitlines()
    assert [line for line in messages if line.startswith("run ")] == [
        "run 1 of 3: seed 5, multi-task",
        "run 2 of 3: seed 5, single-task topic",
        "run 3 of 3: seed 5, single-task places",
    ]
    assert messages.count("training: 2 steps") == 3
    assert result.stdout.splitlines()[-1] == f"report: {out / 'compare.md'}"
    written = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    table = [line.split() for line in result.stdout.splitlines()]
    topic = written["tasks"]["topic"]
    scores = [f"{topic[side]['kept']['mean']:.4f}" for side in ("alone", "mixture")]
    assert ["topic", "accuracy", str(topic["rows"]), *scores] in [line[:5] for line in table]
    assert topic["alone"]["kept"]["deviation"] is None
    assert "checkpoints were selected on the same validation rows" in result.stdout

    again = run_cli(*arguments, "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout) == written
    assert "run 3 of 3: seed 5, single-task places (already finished)" in again.stderr
    assert "training" not in again.stderr

    refused = run_cli(*arguments, "--set", "train.lr=1.0")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "holds a finished run of another config" in refused.stderr

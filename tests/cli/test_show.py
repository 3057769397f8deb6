"""`nlpmtl show`: models, configs and kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS
from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_a_model(trained: Trained, run_cli: RunCli) -> None:
    from tests.tiny import weights

    result = run_cli("show", trained.model_dir)
    assert (result.exit_code, result.stderr) == (0, "")
    total = sum(weight.numel() for weight in weights(trained.model_dir).values())
    head = sum(w.numel() for name, w in weights(trained.model_dir).items() if name.startswith("heads.mood_head."))
    assert f"parameters: {total:,}" in result.stdout.splitlines()
    assert "encoder: bert, 2 layers, hidden size 32" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["mood", "sentiment", "words", "negative,", "neutral,", "positive", f"{head:,}"] in rows


@pytest.mark.slow
def test_task_specific_parameters_and_learned_task_relations(tmp_path: Path, run_cli: RunCli) -> None:
    from nlpmtl.hub import load_model
    from tests.tiny import make_run, train_tiny

    sharing = {"kind": "cross_stitch", "shared": 1, "relations": "covariance"}
    trained = train_tiny(make_run(tmp_path, sharing=sharing, train={"steps": 2, "batch_size": 8}))
    result = run_cli("show", trained.model_dir)
    assert (result.exit_code, result.stderr) == (0, "")
    model, _ = load_model(str(trained.model_dir))
    specific = [*model.head("mood").parameters(), *model.sharing.task_parameters("mood").values()]
    rows = [line.split() for line in result.stdout.splitlines()]
    (mood,) = [row for row in rows if row[:2] == ["mood", "sentiment"]]
    assert mood[-1] == f"{sum(weight.numel() for weight in specific):,}"
    assert any(row[:1] == ["cost:"] and "times" in row for row in rows)
    relations = model.task_relations()
    assert next(iter(relations)) == "mixture after layer 2"
    assert len(relations) > 1
    for name, matrix in relations.items():
        assert any(line.strip().startswith(name) for line in result.stdout.splitlines())
        for task, values in zip(matrix.tasks, matrix.values.tolist(), strict=True):
            assert [task, *(f"{value:.3f}" for value in values)] in rows


def test_a_run_file_and_a_shipped_name(trained: Trained, run_file: Path, run_cli: RunCli) -> None:
    config = json.loads(run_cli("show", run_file).stdout)
    assert config["encoder"]["name"] == trained.run["encoder"]["name"]
    assert config["sampling"] == {"kind": "proportional", "batches": "mixed"}
    shipped = run_cli("show", "quickstart")
    assert json.loads(shipped.stdout)["output"] == "runs/quickstart"
    assert shipped.stdout.startswith('{\n  "seed": 17,')


def test_kinds(run_cli: RunCli) -> None:
    result = run_cli("show", "kinds")
    printed = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    for registry in (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, METRICS):
        for name in registry.names():
            assert any(line[0] == name and len(line) == 2 for line in printed if line), f"{name} has no first line"


def test_an_unknown_name(run_cli: RunCli) -> None:
    result = run_cli("show", "kindz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "run file 'kindz' does not exist" in result.stderr

"""`nlpmtl evaluate`: a table or JSON, over a run file or one dataset file."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_json_of_a_run(trained: Trained, run_file: Path, run_cli: RunCli) -> None:
    result = run_cli("evaluate", trained.model_dir, "--data", run_file, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    scores = json.loads(result.stdout)
    assert list(scores) == ["split", "tasks", "mean"]
    assert scores["split"] == "validation"
    assert trained.result.scores is not None
    assert scores["mean"] == pytest.approx(trained.result.scores.mean, abs=1e-3)


def test_a_table_of_a_dataset_file(
    trained: Trained, run_cli: RunCli, tmp_path: Path, to_toml: Callable[[Mapping[str, Any]], str]
) -> None:
    path = tmp_path / "texts.toml"
    path.write_text(to_toml(trained.run["datasets"]["texts"]), encoding="utf-8")
    result = run_cli("evaluate", trained.model_dir, "--data", path, "--split", "train")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[:2] + row[3:] for row in rows if row[:1] == ["kinds"]] == [
        ["kinds", "micro_macro_f1", "20"],
        ["kinds", "micro_f1", "20"],
        ["kinds", "macro_f1", "20"],
    ]


def test_an_unknown_label_is_reported(
    trained: Trained, run_cli: RunCli, tmp_path: Path, to_toml: Callable[[Mapping[str, Any]], str]
) -> None:
    rows = tmp_path / "test.jsonl"
    rows.write_text('{"text": "a cat", "kinds": ["x", "zebra"]}\n', encoding="utf-8")
    texts = trained.run["datasets"]["texts"]
    kinds = {"kinds": {"kind": "multilabel", "label": "kinds"}}
    path = tmp_path / "texts.toml"
    path.write_text(to_toml({**texts, "tasks": kinds, "data": {"files": {"test": str(rows)}}}), encoding="utf-8")
    result = run_cli("evaluate", trained.model_dir, "--data", path, "--split", "test")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "texts, test: labels unknown to task 'kinds', scored as errors: zebra\n"


def test_the_wrong_rows_are_written(trained: Trained, run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "errors.csv"
    result = run_cli("evaluate", trained.model_dir, "--data", run_file, "--errors", path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["task"] for row in rows)
    note = f"{path}: wrong rows: " + ", ".join(f"{task} {count}" for task, count in counts.items())
    assert (result.exit_code, result.stderr) == (0, f"{note}\n")
    assert list(counts) == ["topic", "mood", "places", "grade", "kinds"]
    topic = trained.result.predictions["topic"]
    wrong = sum(value != gold for value, gold in zip(topic.predicted, topic.gold, strict=True))
    assert sum(row["task"] == "topic" for row in rows) == wrong
    assert all(row["gold"] != row["predicted"] and row["text"] for row in rows)
    assert rows[0]["row"].startswith(trained.run["datasets"]["words"]["data"]["files"]["validation"])
    replaced = run_cli("evaluate", trained.model_dir, "--data", run_file, "--errors", run_file)
    assert (replaced.exit_code, replaced.stdout) == (2, "")
    assert f"errors: {run_file} is an input, which would be replaced" in replaced.stderr
    refused = run_cli("evaluate", trained.model_dir, "--data", run_file, "--errors", tmp_path)
    assert refused.exit_code == 2
    assert f"--errors: {tmp_path} is a directory" in refused.stderr


def test_a_missing_split(trained: Trained, run_file: Path, run_cli: RunCli) -> None:
    result = run_cli("evaluate", trained.model_dir, "--data", run_file, "--split", "tests")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no dataset has a split 'tests'; splits found: train, validation\n"

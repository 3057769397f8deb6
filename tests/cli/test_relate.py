"""`nlpmtl relate`: the table, the conclusions in sentences, and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlpmtl.affinity.driver import _write
from nlpmtl.affinity.relations import Relations, summarize
from nlpmtl.cli.relate import _print_pairs, _summary, _written
from tests.cli.conftest import RunCli


def make_relations(means: np.ndarray, *, noise: float = 0.01, encoders: int = 2) -> Relations:
    count = len(means)
    values = means + noise * np.random.default_rng(0).normal(size=(20, count, count))
    names = [f"t{i}" for i in range(count)]
    cosines = {"all": values}
    diagonal = np.diagonal(values, axis1=1, axis2=2)
    return summarize(
        names,
        affinities=values,
        self_affinities=diagonal,
        cosines=cosines,
        encoders=encoders,
        steps=40,
        measured=tuple(range(20)),
        rows=8,
    )


@pytest.mark.slow
def test_a_run_file_becomes_a_table_and_files(run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    options = ["--steps", "10", "--encoders", "3", "--set", "train.batch_size=4", "--output", tmp_path]
    result = run_cli("relate", run_file, *options)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("9 measurements over 10 steps")
    assert sum(" ± " in line and line.split()[0] in ("topic", "mood", "places", "grade") for line in lines) >= 6
    assert lines[-1] == f"wrote relate.json, relate-affinity.png and relate-tree.png to {tmp_path}"
    as_json = run_cli("relate", run_file, *options, "--json")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "relate.json").read_text(encoding="utf-8"))


def test_one_task_ends_with_2(run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    run = tmp_path / "one.toml"
    other_lines = [
        line for line in run_file.read_text(encoding="utf-8").splitlines() if not line.startswith("datasets")
    ]
    rows = [{"text": "a cat", "topic": "x"}, {"text": "a dog", "topic": "y"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    other_lines.append(
        'datasets.d = {data = {files = {train = "rows.jsonl"}}, input = {text = "text"}, '
        'tasks = {topic = {kind = "classification", label = "topic"}}}'
    )
    run.write_text("\n".join(other_lines), encoding="utf-8")
    result = run_cli("relate", run, "--output", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: nothing to relate: the run has only one task, 'topic'" in result.stderr


HELPING = np.array([[0.02, 0.01, -0.01], [0.01, 0.02, -0.01], [-0.01, -0.01, 0.02]])


def test_numbers_are_percentages(capsys: pytest.CaptureFixture[str]) -> None:
    _print_pairs(make_relations(HELPING, noise=1e-4))
    first = capsys.readouterr().out.splitlines()[5].split()
    assert first[:2] == ["t0", "t1"]
    assert first[5:8] == ["+1.00", "±", "0.00"]
    assert first[-3:] == ["help", "each", "other"]


def test_groups_and_whether_they_are_worth_it() -> None:
    lines = list(_summary(make_relations(HELPING, noise=1e-4)))
    assert lines[:3] == ["Groups for 2 encoders:", "  t0, t1", "  t2"]
    assert lines[3].startswith("Better than one shared encoder: +3.00 ± 0.0")


def test_one_encoder() -> None:
    assert list(_summary(make_relations(HELPING, noise=1e-4, encoders=1))) == [
        "One encoder for all tasks:",
        "  t0, t1, t2",
    ]


@pytest.mark.parametrize(("noise", "message"), [(1e-4, "The tasks are unrelated: "), (0.5, "No significant transfer")])
def test_nothing_significant_is_reported(noise: float, message: str) -> None:
    lines = list(_summary(make_relations(0.02 * np.eye(3), noise=noise)))
    assert lines[0].startswith(message)
    assert lines[-1].startswith("Not significantly better than one shared encoder: ")


def test_auxiliary_tasks() -> None:
    means = np.array([[0.02, 0.01, 0.01], [0.01, 0.02, -0.05], [0.01, 0.01, 0.02]])
    lines = list(_summary(make_relations(means, noise=1e-5)))
    assert lines[1:3] == ["  t0, t2", "  t1  (trained with t0 as an auxiliary task)"]


def test_the_local_search_of_many_tasks_is_mentioned() -> None:
    block = np.repeat(np.arange(2), 7)
    means = np.where(block[:, None] == block, 0.01, -0.01)
    assert next(_summary(make_relations(means, noise=1e-4))) == "Groups for 2 encoders (found by local search):"


def test_only_files_that_were_written_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = replace(make_relations(HELPING, noise=1e-4), directory=tmp_path)
    assert _write(result, tmp_path) == []
    assert _written(result) == f"wrote relate.json, relate-affinity.png and relate-tree.png to {tmp_path}"
    monkeypatch.delattr("nlpmtl.plots.draw_dendrogram")
    (note,) = _write(result, tmp_path)
    assert "the plots were not drawn" in note
    assert {path.name for path in tmp_path.iterdir()} == {"relate.json"}, "not the plots of the earlier result"
    assert _written(result) == f"wrote relate.json to {tmp_path}"

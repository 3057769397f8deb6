"""`nlpmtl train`: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from nlpmtl.run import iter_train, load_config
from tests.cli.conftest import RunCli


def test_a_run_and_a_second_one_into_its_output(run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["train", run_file, "--set", "train.steps=2", "--set", "eval.every=2", "--output", out]
    result = run_cli(*arguments)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "training: 2 steps"
    assert "\nstep 2: mean " in result.stderr
    assert re.fullmatch(r"time: .* \(.* s\)", result.stderr.splitlines()[-1])
    assert result.stdout.splitlines()[-1] == f"model: {out / 'model'}"
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    table = [line.split() for line in result.stdout.splitlines()]
    assert ["mean", f"{scores['mean']:.4f}"] in table
    assert ["topic", "accuracy", f"{scores['tasks']['topic']['accuracy']:.4f}", "12"] in table
    assert ["grade", "pearson_spearman", f"{scores['tasks']['grade']['score']:.4f}", "11"] in table
    again = run_cli(*arguments)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith(f"error: {out} already contains a run")
    resumed = run_cli(*arguments, "--resume")
    assert resumed.exit_code == 0
    assert resumed.stderr.splitlines()[0] == f"resuming from {out / 'checkpoints' / 'step-000002'}"
    assert resumed.stdout == result.stdout


@pytest.mark.slow
def test_resume_needs_no_set_again(run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = run_cli("train", run_file, "--set", "train.steps=2", "--set", "eval.every=2", "--output", out)
    assert started.exit_code == 0
    resumed = run_cli("train", run_file, "--output", out, "--resume")
    assert (resumed.exit_code, resumed.stdout) == (0, started.stdout)
    longer = run_cli("train", run_file, "--output", out, "--resume", "--set", "train.steps=3")
    assert longer.exit_code == 0
    assert longer.stderr.splitlines()[1].startswith("train.steps was 2, is 3: ")


def test_a_second_run_at_the_same_time_is_refused(run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    overrides = {"train.steps": 2, "eval.every": 2}
    first = iter_train(load_config(run_file, overrides=overrides), output=out)
    next(first)
    arguments = ["--set", "train.steps=2", "--set", "eval.every=2", "--output", out, "--resume"]
    second = run_cli("train", run_file, *arguments)
    assert (second.exit_code, second.stdout) == (1, "")
    assert f"is in use by another run in this process ({os.getpid()} on " in second.stderr
    list(first)
    assert len((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2

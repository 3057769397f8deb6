"""Every command that writes refuses an invalid output before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCli

NAME = "out-\udce9"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "quickstart", "--output", NAME],
        ["train", "quickstart", "--output", NAME, "--resume"],
        ["compare", "quickstart", "--output", NAME],
        ["relate", "quickstart", "--output", NAME],
        ["export", "no/model", "--output", NAME],
        ["predict", "no/model", "a cat", "--output", f"{NAME}.jsonl"],
        ["submit", "no/model", "--output", f"{NAME}.zip"],
        ["schema", "--output", NAME],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_an_output_path_that_is_not_utf8(
    arguments: list[str], run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not valid UTF-8: choose another name" in result.stderr
    assert "output: the path 'out-\\udce9" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_utf8(run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for output in ("out", tmp_path / "link" / "out"):
        result = run_cli("train", "quickstart", "--output", output)
        assert result.exit_code == 2
        assert "is not valid UTF-8" in result.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relate", "run.toml", "--output", "file/out"], "file/out: cannot be written: Not a directory: file"),
        (["export", "no/model", "--output", "file/out"], "file/out: cannot be written: Not a directory: file"),
        (["export", "no/model", "--output", "."], "already exists: choose another directory"),
        (["export", "no/model", "--output", "out", "--to", "tf"], "--to tf: unknown format"),
        (["predict", "no/model", "a", "--output", "file/a.jsonl"], "a.jsonl: cannot be written: Not a directory: file"),
        (
            ["predict", "no/model", "a", "--output", "a.jsonl"],
            "a.jsonl is a directory; the name of a file was",
        ),
        (["submit", "no/model", "--output", "file/a.zip"], "file/a.zip: cannot be written: Not a directory: file"),
        (["submit", "no/model", "--output", "a.txt"], "GLUE's server takes a zip file: the name must end in .zip"),
        (["schema", "--output", "file"], "'file' is not a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_loaded(
    arguments: list[str],
    message: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to_toml: Callable[[Mapping[str, Any]], str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "a.jsonl").mkdir()
    dataset = {
        "data": {"files": {"train": "none.jsonl"}},
        "input": {"text": "text"},
        "tasks": {"topic": {"kind": "classification", "label": "topic"}},
    }
    (tmp_path / "run.toml").write_text(to_toml({"encoder": {"name": "no/model"}, "datasets": {"d": dataset}}))
    result = run_cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr

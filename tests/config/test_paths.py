"""Arguments of the wrong type, and output paths that are not paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import nlpmtl
from nlpmtl import ConfigError, ModelError
from nlpmtl.cli import app
from nlpmtl.config import check_flag, check_new_directory, check_output, check_writable, find_directory
from nlpmtl.hub import push
from nlpmtl.model import load_encoder
from nlpmtl.run_config import load_config, load_run
from tests.tiny import Trained


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory, and another one that is the working directory."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_tilde_in_an_output_path_is_expanded(home: Path) -> None:
    for path in ("~/out", Path("~/out")):
        for check in (check_output, check_writable, check_new_directory):
            assert check(path, key="output") == home / "out"
        config = load_config("quickstart", overrides={"output": path})
        assert config.output == home / "out"
    with pytest.raises(ConfigError, match="output: '~no-such-user/out': this home directory does not exist"):
        check_output("~no-such-user/out")
    with pytest.raises(ConfigError, match="output: this home directory does not exist: write the whole path"):
        load_config("quickstart", overrides={"output": "~no-such-user/out"})


def test_a_tilde_in_the_output_of_a_resumed_run_is_expanded(home: Path) -> None:
    (home / "run.json").write_text('{"overrides": {"seed": 9}}')
    for output, overrides in (("~", {}), (None, {"output": "~"})):
        config, applied = load_run("quickstart", output=output, resume=True, overrides=overrides)
        assert (config.seed, applied["seed"]) == (9, 9)


def test_a_tilde_in_the_output_of_commands_is_expanded(home: Path) -> None:
    (home / "rows.csv").write_text("text,mood\n" + "".join(f"text {n} of many,{'ab'[n % 2]}\n" for n in range(40)))
    for arguments in (["schema", "--output=~/out"], ["init", str(home / "rows.csv"), "--output=~/out"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    written = {path.name for path in (home / "out").iterdir()}
    assert written == {"run.schema.json", "dataset.schema.json", "rows.toml", "run.toml"}
    assert not list(Path().iterdir())


def test_a_tilde_in_output_files_is_expanded(home: Path, trained: Trained) -> None:
    rows = [{"tokens": ["a", "cat"], "topic": "animal"}]
    tasks = {"topic": {"kind": "classification", "label": "topic"}}
    data = {"data": {"files": {"validation": rows}}, "input": {"words": "tokens"}, "tasks": tasks}
    nlpmtl.evaluate(trained.model_dir, data, errors="~/errors.csv")
    (home / "new.jsonl").write_text('{"tokens": ["a", "cat"], "text": "a cat", "other": "a dog"}\n')
    nlpmtl.predict_files(trained.model_dir, home / "new.jsonl", "~/predictions.jsonl", tasks=["topic"])
    assert {path.name for path in home.iterdir()} >= {"errors.csv", "predictions.jsonl"}
    assert not list(Path().iterdir())


@pytest.mark.parametrize("output", [b"out", 5, "", ["out"], True], ids=repr)
@pytest.mark.parametrize("function", [nlpmtl.train, nlpmtl.compare, nlpmtl.relate], ids=["train", "compare", "relate"])
def test_an_output_that_is_not_a_path(
    function: Any, output: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="output: a path was expected, as a string or a Path, found "):
        function("quickstart", output=output)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("function", "name", "value", "message"),
    [
        (nlpmtl.compare, "seeds", "3", "seeds: a whole number was expected, found '3'"),
        (nlpmtl.compare, "seeds", 2.5, "seeds: a whole number was expected, found 2.5"),
        (nlpmtl.compare, "seeds", True, "seeds: a whole number was expected, found True"),
        (nlpmtl.compare, "seeds", 0, "seeds: must be at least 1, found 0"),
        (nlpmtl.relate, "steps", "20", "steps: a whole number was expected, found '20'"),
        (nlpmtl.relate, "steps", 5, "steps: must be at least 10, found 5"),
        (nlpmtl.relate, "encoders", None, "encoders: a whole number was expected, found None"),
        (nlpmtl.relate, "encoders", 0, "encoders: must be at least 1, found 0"),
    ],
)
def test_an_argument_that_is_not_a_whole_number(
    function: Any, name: str, value: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        function("quickstart", output=tmp_path / "out", **{name: value})


@pytest.mark.parametrize("value", ["False", "no", 0, 1, []], ids=repr)
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("resume", nlpmtl.train),
        ("progress", nlpmtl.train),
        ("resume", lambda source, **options: next(nlpmtl.iter_train(source, **options))),
        ("progress", nlpmtl.compare),
        ("progress", nlpmtl.relate),
        ("overwrite", nlpmtl.predict_files),
        ("all_scores", nlpmtl.predict_files),
        ("private", push),
        ("create_pr", push),
    ],
)
def test_an_argument_that_is_neither_true_nor_false(name: str, function: Any, value: Any, tmp_path: Path) -> None:
    """A text such as "False" counts as true in Python."""
    arguments: list[Any] = ["quickstart"]
    options: dict[str, Any] = {"output": tmp_path / "out"}
    if function is push:
        arguments, options = [tmp_path, "name/model"], {}
    elif function is nlpmtl.predict_files:
        arguments = ["model", "rows.csv"]
    with pytest.raises(ConfigError, match=f"{name}: True or False was expected, found {re.escape(repr(value))}"):
        function(*arguments, **options, **{name: value})
    assert not list(tmp_path.iterdir())


def test_true_and_false_of_numpy() -> None:
    assert (check_flag(np.bool_(True), name="resume"), check_flag(np.bool_(False), name="resume")) == (True, False)


def test_a_deleted_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="output: 'out' is relative, and the working directory no longer exists"):
        check_output("out")


def test_an_unwritable_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    check_writable(tmp_path / "new" / "folder", key="output")
    check_writable(tmp_path / "new" / "file.jsonl", key="--output", file=True)
    check_writable(tmp_path / "file", key="--output", file=True)  # it is replaced
    for path, file, rule in (
        (tmp_path / "file", False, "output: '.*/file' is not a directory"),
        (tmp_path / "file" / "a" / "b", False, "output: .*/b: cannot be written: Not a directory: .*/file"),
        (tmp_path / "file" / "a.jsonl", True, "output: .*jsonl: cannot be written: Not a directory: .*/file"),
        (tmp_path, True, "output: .* is a directory; the name of a file was expected"),
    ):
        with pytest.raises(ConfigError, match=rule):
            check_writable(path, key="output", file=file)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # permissions do not apply to root
    with pytest.raises(ConfigError, match=r"output: .*/new: cannot be written: no permission to write in "):
        check_writable(tmp_path / "new", key="output")


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    for folder in ("model", "best"):
        (run / folder).mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "model" / "config.json").write_text("{}")
    assert find_directory(run, error_prefix="failed") == run / "model"
    for path, rule in (
        (tmp_path, f"failed: {tmp_path} is not a model directory: it has no file config.json$"),
        (run.parent, f"failed: .* is not a model directory: .* config.json. There is a model in {run}$"),
        (run / "best", f"failed: .* is not a model directory: .* config.json. There is a model in {run / 'model'}$"),
        ("", "failed: the name is empty; write a directory or a Hub id"),
    ):
        with pytest.raises(ModelError, match=rule):
            find_directory(path, error_prefix="failed")


@pytest.mark.parametrize("name", ["mymodel", "my/model"])
def test_a_name_may_be_a_directory_where_the_hub_is_not_reached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (nlpmtl.Predictor.from_pretrained, load_encoder):
        with pytest.raises(ModelError, match=rf"'{name}' cannot be loaded \(no directory of that name exists\): "):
            load(name)


@pytest.mark.parametrize("name", [None, 3, b"model", ["model"]], ids=repr)
def test_a_model_that_is_neither_a_string_nor_a_path(name: Any) -> None:
    with pytest.raises(ConfigError, match="a model directory or a Hub id was expected, as a string or a Path, found "):
        nlpmtl.Predictor.from_pretrained(name)


def test_a_relative_path_inside_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be a Hub id, too, but `runs` exists."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ModelError, match=r"^failed: the directory runs/absent does not exist$"):
        find_directory("runs/absent", error_prefix="failed")

"""Loading of files, dicts and overrides into plain tables; errors name the file and line."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nlpmtl.model
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting  # noqa: F401
from nlpmtl.config import (
    flatten,
    parse_dataset,
    parse_override,
    parse_run,
    plain_config,
    read_dataset,
    read_run,
    read_toml,
    source_name,
)
from nlpmtl.errors import ConfigError

TASK = """
[input]
text = "sentence"
[tasks.mood]
kind = "sentiment"
label = "label"
labels = ["negative", "positive"]
"""
DATASET = f"""
[data]
files = {{ train = "rows/train.jsonl", validation = "rows/validation.jsonl" }}
on_bad_row = "skip"
{TASK}"""
HUB = f"""
[data]
hub = "someone/mood"
subset = "plain"
revision = "abc"
splits = {{ train = "train" }}
validation = 0.2
on_bad_row = "skip"
{TASK}"""
RUN = """
[encoder]
name = "some/encoder"
[datasets.reviews]
extends = "../mood.toml"
"""
FILES = "datasets.reviews.data.files"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset file, and a run file in a directory below it; return the path of the run file."""

    def make(*, dataset: str = DATASET, run: str = RUN) -> Path:
        (tmp_path / "mood.toml").write_text(dataset, encoding="utf-8")
        path = tmp_path / "runs" / "run.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(run, encoding="utf-8")
        return path

    return make


def problem(path: Path, **overrides: Any) -> str:
    """Return the error message of a run file."""
    with pytest.raises(ConfigError) as caught:
        parse_run(read_run(path, overrides=overrides), where=source_name(path))
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such file$"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"run\.toml: no such file; there is no directory '.*nowhere'$"):
        read_toml(tmp_path / "nowhere/run.toml")


def test_a_missing_file_with_a_similar_name(tmp_path: Path) -> None:
    tmp_path.joinpath("run.toml").touch()
    tmp_path.joinpath("runs.csv").touch()
    with pytest.raises(ConfigError, match=r"runs\.toml: no such file; did you mean 'run\.toml'\?$"):
        read_toml(tmp_path / "runs.toml")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


def test_bad_toml_names_the_line(write: Callable[..., Path]) -> None:
    path = write(run="seed = 1\noutput = runs/demo\n")
    with pytest.raises(ConfigError, match=r"run\.toml: not TOML: .*line 2"):
        read_run(path)


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.TSV", "my reviews.jsonl", "reviews.jsonl.gz"])
@pytest.mark.parametrize("content", [b"text,label\ngood,1\n", "text\ncaf\u00e9\n".encode("cp1252"), b"\x00\xff"])
def test_rows_instead_of_a_run_file(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_run(path)
    assert str(caught.value) == (
        f"{path}: a file of rows was found, and a run file or a dataset file (TOML) was expected: write both with "
        f"`nlpmtl init {shlex.quote(str(path))}`, or specify this file as `data.files` in a dataset file"
    )


@pytest.mark.parametrize("text", ["a.b = [1, {x}]", "a.b = [1, {{ c = {x} }}]", "a.b = {x}"])
def test_an_integer_that_toml_does_not_have_is_refused_with_its_key(write: Callable[..., Path], text: str) -> None:
    """Python reads hexadecimal integers of any length, but refuses to print long ones as decimals."""
    path = write(run=text.format(x="0x" + "f" * 5000))
    with pytest.raises(ConfigError, match=r"run\.toml: a\.b.*: an integer of more than 64 bits was found"):
        read_toml(path)


def test_bad_toml_in_a_used_file_names_that_file(write: Callable[..., Path]) -> None:
    path = write(dataset="[data\n")
    with pytest.raises(ConfigError, match=r"mood\.toml: not TOML: .*line 1"):
        read_run(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_is_skipped(end: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f"# größer{end}seed = 3{end}".encode())
    assert read_toml(path) == {"seed": 3}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_utf16_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes("seed = 3\n".encode(encoding))
    with pytest.raises(ConfigError, match=r"run\.toml: not .*it looks like UTF-16 or UTF-32.*save it as UTF-8"):
        read_toml(path)
    path.write_bytes(b"\xfe\xff" + "seed = 3\n".encode("utf-16-be"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        read_toml(path)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes("output = 'é'".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"run\.toml: not UTF-8: .* at byte 10"):
        read_toml(path)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("train.lr=3e-5", "train.lr", 3e-5),
        ("train.steps = 20", "train.steps", 20),
        ("encoder.freeze=true", "encoder.freeze", True),
        ('encoder.name="1"', "encoder.name", "1"),
        ("encoder.name=some/encoder", "encoder.name", "some/encoder"),
        ("a.b=x=y", "a.b", "x=y"),
        ('plugins=["a", "b"]', "plugins", ["a", "b"]),
        ("sampling={ kind = 'uniform' }", "sampling", {"kind": "uniform"}),
        ("output=", "output", ""),
    ],
)
def test_an_override_is_parsed_as_toml_or_else_a_string(text: str, key: str, value: object) -> None:
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["train.lr", "=3", " = 3", ""])
def test_an_override_without_a_key_or_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .*: write KEY=VALUE, such as train\.lr=3e-5"):
        parse_override(text)


def test_overrides_take_precedence_over_the_file(write: Callable[..., Path]) -> None:
    path = write(run=RUN + "[train]\nlr = 1e-3\nsteps = 5\n")
    run = parse_run(read_run(path, overrides={"train.lr": 3e-5, "eval.every": 7}), where="run")
    assert (run.train.lr, run.train.steps, run.eval.every) == (3e-5, 5, 7)


def test_an_override_of_an_unknown_key_names_the_nearest(write: Callable[..., Path]) -> None:
    assert "train.epoch: unknown key; did you mean 'epochs'?" in problem(write(), **{"train.epoch": 3})


def test_an_override_inside_a_value_that_is_not_a_table(write: Callable[..., Path]) -> None:
    path = write(run="seed = 1\n" + RUN)
    assert "seed.deep: 'seed' is not a table, so no key can be set inside it" in problem(path, **{"seed.deep": 3})


def test_paths_are_relative_to_the_file_that_names_them(write: Callable[..., Path], tmp_path: Path) -> None:
    raw = read_run(write())
    assert raw["datasets"]["reviews"]["data"]["files"]["train"] == str(tmp_path / "runs/../rows/train.jsonl")


def test_paths_of_a_dataset_in_a_run_file_are_relative_to_the_run_file(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write(run=RUN + 'data.files = { train = "own.jsonl" }')
    assert read_run(path)["datasets"]["reviews"]["data"]["files"] == {"train": str(tmp_path / "runs/own.jsonl")}


def test_paths_of_a_dataset_file_without_a_run(write: Callable[..., Path], tmp_path: Path) -> None:
    write()
    raw = read_dataset(tmp_path / "mood.toml")
    assert raw["data"]["files"]["train"] == str(tmp_path / "rows/train.jsonl")
    assert parse_dataset(raw, where="mood").input.columns == ("sentence",)


def test_paths_of_a_dict_are_relative_to_the_working_directory() -> None:
    raw = {"encoder": {"name": "./enc"}, "datasets": {"a": {"data": {"files": {"train": "a.jsonl", "test": "/b.csv"}}}}}
    read = read_run(raw)
    assert read["datasets"]["a"]["data"]["files"] == {"train": "a.jsonl", "test": "/b.csv"}
    assert Path(read["encoder"]["name"]) == Path("enc")


def test_paths_of_overrides_are_relative_to_the_working_directory(write: Callable[..., Path]) -> None:
    raw = read_run(write(), overrides={f"{FILES}.train": "here.jsonl", "encoder.name": "./enc"})
    assert raw["datasets"]["reviews"]["data"]["files"]["train"] == "here.jsonl"
    assert raw["encoder"]["name"] == "./enc"


def test_a_tilde_is_expanded(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    raw = read_run(write(run=RUN.replace("some/encoder", "~/enc") + 'data.files = { train = "~/own.jsonl" }'))
    assert raw["datasets"]["reviews"]["data"]["files"]["train"] == "/home/ada/own.jsonl"
    assert raw["encoder"]["name"] == "/home/ada/enc"


@pytest.mark.parametrize(
    "run",
    [RUN.replace("some/encoder", "~nobody-here/enc"), RUN + 'data.files = { train = "~nobody-here/own.jsonl" }'],
    ids=["encoder", "files"],
)
def test_an_unknown_home_directory(write: Callable[..., Path], run: str) -> None:
    with pytest.raises(ConfigError, match="~nobody-here"):
        read_run(write(run=run))


def test_a_local_encoder_directory_takes_precedence_over_a_hub_id(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write()
    assert read_run(path)["encoder"]["name"] == "some/encoder"
    (tmp_path / "runs/some/encoder").mkdir(parents=True)
    assert read_run(path)["encoder"]["name"] == str(tmp_path / "runs/some/encoder")


def test_an_encoder_name_that_is_not_a_valid_file_name(write: Callable[..., Path]) -> None:
    assert read_run(write(run=RUN.replace("some/encoder", "x" * 300)))["encoder"]["name"] == "x" * 300


def test_a_package_encoder_is_not_a_path(write: Callable[..., Path]) -> None:
    assert read_run(write(run=RUN.replace("some/encoder", "package:p/m")))["encoder"]["name"] == "package:p/m"


def test_output_is_kept_as_written(write: Callable[..., Path]) -> None:
    assert read_run(write(run='output = "runs/demo"\n' + RUN))["output"] == "runs/demo"


def test_a_missing_file_in_use(write: Callable[..., Path]) -> None:
    path = write(run=RUN.replace("mood", "modo"))
    assert problem(path).startswith(f"{path}: datasets.reviews.extends: ")
    assert problem(path).endswith("modo.toml: no such file; did you mean 'mood.toml'?")


@pytest.mark.parametrize("extends", ["3", '["../mood.toml"]', '""', f'"{"x" * 300}"'])
def test_invalid_values_of_extends(write: Callable[..., Path], extends: str) -> None:
    path = write(run=RUN.replace('"../mood.toml"', extends))
    assert problem(path).startswith(f"{path}: datasets.reviews.extends: ")


def test_an_error_in_a_used_file_names_that_file(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(dataset=DATASET.replace("[input]\ntext", "[input]\ntxt"))
    message = problem(path)
    assert f"{tmp_path}/runs/../mood.toml: input.txt: unknown key; did you mean 'text'?" in message


def test_an_error_in_an_override_names_the_run_file(write: Callable[..., Path]) -> None:
    path = write(run=RUN + "tasks.mood.lables = []")
    assert f"{path}: datasets.reviews.tasks.mood.lables: unknown key; did you mean 'labels'?" in problem(path)


def test_one_key_of_a_used_file_is_overridden(write: Callable[..., Path]) -> None:
    path = write(run=RUN + 'tasks.mood.label = "gold"\nlimit.train = 5')
    used = parse_run(read_run(path), where="run").datasets["reviews"]
    assert (used.tasks["mood"].columns, used.tasks["mood"].labels) == (("gold",), ("negative", "positive"))
    assert (used.limit, used.data.on_bad_row) == ({"train": 5}, "skip")


def test_files_replace_a_hub_source_whole(write: Callable[..., Path]) -> None:
    path = write(dataset=HUB, run=RUN + 'data.files = { train = "own.jsonl" }')
    data = parse_run(read_run(path), where="run").datasets["reviews"].data
    assert (data.hub, data.subset, data.revision, data.splits) == (None, None, None, None)
    assert (data.validation, data.on_bad_row) == (0.2, "skip")


def test_a_source_with_its_own_validation_needs_no_share_of_train(write: Callable[..., Path]) -> None:
    path = write(dataset=HUB, run=RUN + 'data.files = { train = "own.jsonl", validation = "val.jsonl" }')
    data = parse_run(read_run(path), where="run").datasets["reviews"].data
    assert (data.validation, data.on_bad_row) == (None, "skip")


def test_a_hub_source_replaces_files_whole(write: Callable[..., Path]) -> None:
    path = write(run=RUN + 'data = { hub = "someone/else", splits = { train = "train", validation = "dev" } }')
    data = parse_run(read_run(path), where="run").datasets["reviews"].data
    assert (data.files, data.hub) == (None, "someone/else")


def test_a_file_used_twice_is_loaded_unchanged(write: Callable[..., Path]) -> None:
    path = write(run=RUN + 'tasks.mood.label = "gold"\n[datasets.others]\nextends = "../mood.toml"')
    datasets = read_run(path)["datasets"]
    assert datasets["others"]["tasks"]["mood"]["label"] == "label"


def test_loading_does_not_modify_the_dict() -> None:
    table = {"data": {"files": {"train": "a.jsonl"}}, "input": {"text": "t"}, "tasks": {}}
    source: dict[str, Any] = {"encoder": {"name": "e"}, "datasets": {"a": table}}
    read_run(source, overrides={"encoder.name": "other", "datasets.a.data.files.train": "b.jsonl"})
    assert source == {"encoder": {"name": "e"}, "datasets": {"a": table}}
    assert table["data"] == {"files": {"train": "a.jsonl"}}


def test_rows_in_memory_pass_through() -> None:
    rows = [{"t": "fine", "l": "good"}]
    raw = read_run({"datasets": {"a": {"data": {"files": {"train": rows}}}}})
    assert raw["datasets"]["a"]["data"]["files"]["train"] is rows


@pytest.mark.parametrize("source", [{"datasets": 3}, {"datasets": {"a": 3}}, {"encoder": 3}, {"encoder": {"name": 3}}])
def test_values_that_are_not_tables_are_left_to_validation(source: dict[str, Any]) -> None:
    assert read_run(source) == source
    with pytest.raises(ConfigError):
        parse_run(read_run(source), where=source_name(source))


def test_all_problems_are_in_one_error(write: Callable[..., Path]) -> None:
    path = write(run=RUN + "[train]\nlr = -1\nepoch = 3\n[eval]\nevery = 0\n")
    lines = problem(path).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["train.lr", "train.epoch", "eval.every"]
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_a_long_value_is_shortened_in_the_error(write: Callable[..., Path]) -> None:
    assert len(problem(write(), **{"train.lr": "x" * 1000})) < 300


@pytest.mark.parametrize(("source", "name"), [("a.toml", "a.toml"), (Path("b/c.toml"), "b/c.toml"), ({}, "config")])
def test_source_names_in_errors(source: object, name: str) -> None:
    assert source_name(source) == name


def test_an_override_replaces_mutually_exclusive_keys(write: Callable[..., Path]) -> None:
    path = write(run=f"{RUN}\n[train]\nepochs = 3\n")
    assert read_run(path, overrides={"train.steps": 7})["train"] == {"steps": 7}
    assert read_run(path, overrides={"train.epochs": 7})["train"] == {"epochs": 7}
    raw = read_run(path, overrides={"datasets.reviews.input.words": "tokens"})
    assert raw["datasets"]["reviews"]["input"] == {"words": "tokens"}


def test_a_run_file_may_override_the_input_columns(write: Callable[..., Path]) -> None:
    path = write(run=f'{RUN}input.words = "tokens"\n')
    assert read_run(path)["datasets"]["reviews"]["input"] == {"words": "tokens"}
    path = write(run=f'{RUN}input.pair = "other"\n')
    assert read_run(path)["datasets"]["reviews"]["input"] == {"text": "sentence", "pair": "other"}


def test_another_encoder_does_not_have_the_pins_of_the_file(write: Callable[..., Path]) -> None:
    pins = {"revision": "v1", "sha256": "0" * 64}
    run = {**read_run(write()), "encoder": {"name": "org/first", "max_length": 64, **pins}}
    assert read_run(run, overrides={"encoder.name": "org/other"})["encoder"] == {"name": "org/other", "max_length": 64}
    assert read_run(run, overrides={"encoder.name": "org/first"})["encoder"] == run["encoder"]
    both = read_run(run, overrides={"encoder.revision": "v2", "encoder.name": "org/other"})["encoder"]
    assert both == {"name": "org/other", "max_length": 64, "revision": "v2"}


def test_an_override_may_name_another_dataset_file(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    (tmp_path / "other.toml").write_text(DATASET.replace("mood]", "humour]"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert set(
        read_run(path, overrides={"datasets.reviews.extends": "other.toml"})["datasets"]["reviews"]["tasks"]
    ) == {"humour"}


def test_a_plain_config_is_independent_of_the_working_directory(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    (tmp_path / "runs" / "some" / "encoder").mkdir(parents=True)
    configs = []
    for directory, name in ((tmp_path, "runs/run.toml"), (tmp_path / "runs", "../runs/run.toml")):
        monkeypatch.chdir(directory)
        config = parse_run(read_run(name), where="run.toml")
        configs.append(plain_config(config, output=tmp_path / "out"))
    assert configs[0] == configs[1]
    assert configs[0]["output"] == str(tmp_path / "out")
    assert configs[0]["encoder"]["name"] == str(tmp_path / "runs" / "some" / "encoder")
    assert configs[0]["datasets"]["reviews"]["data"]["files"]["train"] == str(tmp_path / "rows" / "train.jsonl")


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": 2, "f": {}}) == {"a.b.c": 1, "a.d": {}, "e": 2}


@pytest.mark.parametrize("key", [".lr", "train.", "train..lr", "", " .lr", "datasets..limit"])
def test_an_override_with_an_empty_part(key: str) -> None:
    with pytest.raises(ConfigError, match="a part of this dotted key is empty; write"):
        read_run({"encoder": {"name": "x"}}, overrides={key: 3})


def test_an_override_for_an_unknown_dataset() -> None:
    datasets = {"reviews": {"data": {"files": {"train": "a.jsonl"}}}}
    for key, value in (("datasets.review.limit.train", 3), ("datasets.review.tasks", {}), ("datasets.review.limit", 3)):
        with pytest.raises(ConfigError, match=f"{key}: the run has no dataset 'review'; did you mean 'reviews'?"):
            read_run({"datasets": datasets}, overrides={key: value})
    added = {"datasets.new.limit": {"train": 3}, "datasets.new.data": {"files": {"train": "b.jsonl"}}}
    assert set(read_run({"datasets": datasets}, overrides=added)["datasets"]) == {"reviews", "new"}
    assert set(read_run({}, overrides=added)["datasets"]) == {"new"}


def test_an_override_that_replaces_the_table_of_an_earlier_one() -> None:
    raw = {"datasets": {"reviews": {"data": {"files": {"train": "a.jsonl"}}}}}
    for key, value in (
        ("datasets", {}),
        ("datasets", {"new": 3}),
        ("datasets.new", "data"),
        ("datasets.new", ["data"]),
    ):
        with pytest.raises(ConfigError, match=r"datasets\.new\.limit: the run has no dataset 'new'; known: reviews"):
            read_run(raw, overrides={"datasets.new.limit": {"train": 3}, key: value})
    for wrong in ("data", ["data"], 3):
        with pytest.raises(ConfigError, match="datasets: a table was expected"):
            parse_run(read_run(raw, overrides={"datasets.new.limit": 3, "datasets": wrong}), where="run.toml")

"""Text from models and data cannot control the terminal, and the terminal may have any encoding."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nlpmtl.run_config
from nlpmtl.cli.console import print_table
from nlpmtl.cli.predict import _to_lines
from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eltr\u2066\u200f\x7f\r\b\n\u2028\u061c"
CONTROL_CHARACTERS = {
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
} | set("\u2028\u2029\u200e\u200f\u061c")
PLAIN_TEXT = "Zürich 東京\u3000 e\u0301 \xa0 👩\u200d🔬 می\u200cروم ✂\ufe0f"


@pytest.fixture(scope="module")
def hostile_model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose label names are escape sequences."""
    directory = tmp_path_factory.mktemp("hostile") / "model"
    shutil.copytree(trained.model_dir, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for task in config["tasks"].values():
        if task["kind"] in ("classification", "multilabel"):
            task["labels"] = [f"{label}{ESCAPES}" for label in task["labels"]]
    config["sharing"]["kind"] = "hard"
    path.write_text(json.dumps(config), encoding="utf-8")
    return directory


def control_characters(text: str) -> set[str]:
    """Return the characters that control a terminal, except line feeds."""
    return (CONTROL_CHARACTERS & set(text)) - {"\n"}


def test_plain_keeps_letters_and_escapes_control_characters() -> None:
    from nlpmtl.errors import escape_control_characters, escape_line

    assert escape_control_characters(PLAIN_TEXT) == escape_line(PLAIN_TEXT) == PLAIN_TEXT
    assert not control_characters(escape_control_characters(ESCAPES))
    assert "\n" not in escape_line(ESCAPES)
    assert escape_control_characters("a\udcffb") == "a\\udcffb"
    assert escape_control_characters("a\nb") == "a\nb"


def test_json_for_a_terminal_round_trips() -> None:
    from nlpmtl.strict_json import to_json

    value = {ESCAPES: [ESCAPES, PLAIN_TEXT, "\U0001f600"]}
    assert json.loads(to_json(value)) == value
    assert not control_characters(to_json(value))
    assert PLAIN_TEXT in to_json(value)


@pytest.mark.parametrize("task", ["topic", ESCAPES])
@pytest.mark.parametrize(
    "prediction",
    [
        {"label": ESCAPES, "score": 0.5},
        {"labels": [{"label": ESCAPES, "score": 0.5}]},
        [{"word": ESCAPES, "entity_group": ESCAPES, "score": 0.5}],
        [{"word": "a", "entity": ESCAPES}],
        {
            "entities": [{"word": ESCAPES, "entity_group": "a", "score": 0.5}] * 2,
            "relations": [{"head": 0, "tail": 1, "label": ESCAPES, "score": 0.5}],
        },
        {"other": ESCAPES},
        ESCAPES,
    ],
)
def test_predictions_for_reading_have_no_control_characters(task: str, prediction: Any) -> None:
    lines = _to_lines("a text", {task: prediction})
    assert not control_characters(lines)
    assert len(lines.splitlines()) == 2
    assert not control_characters(_to_lines(ESCAPES, {task: prediction}))


def test_tables_and_lines_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    from nlpmtl.cli.console import echo, echo_json

    print_table("task", ESCAPES, rows=[(ESCAPES, "1")])
    echo(ESCAPES)
    echo(ESCAPES, err=True)
    echo_json({"label": ESCAPES})
    printed = capsys.readouterr()
    assert not control_characters(printed.out)
    assert not control_characters(printed.err)


def test_logs_and_warnings_of_libraries(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpmtl.cli.console import protect_logs

    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    before, logger, handler = (
        logging.getLogRecordFactory(),
        logging.getLogger("transformers.x"),
        logging.StreamHandler(),
    )
    logger.addHandler(handler)
    try:
        protect_logs()
        logger.warning("Unknown quantization type, got %s", ESCAPES)
        logger.warning(ESCAPES)
        warning = warnings.formatwarning(UserWarning(ESCAPES), UserWarning, "x.py", 1)
        inside = warnings.formatwarning(FutureWarning("old key"), FutureWarning, nlpmtl.run_config.__file__, 1)
    finally:
        logging.setLogRecordFactory(before)
        logger.removeHandler(handler)
    printed = capsys.readouterr().err
    assert printed.count("ltr") == 2
    assert not control_characters(printed)
    assert "ltr" in warning
    assert not control_characters(warning)
    assert warning.startswith("x.py:1: UserWarning: ")
    assert inside == "warning: old key\n"


def test_commands_on_a_hostile_model(hostile_model: Path, run_file: Path, run_cli: RunCli, tmp_path: Path) -> None:
    for arguments in (
        ["show", hostile_model],
        ["evaluate", hostile_model, "--data", run_file],
        ["predict", hostile_model, "a cat"],
    ):
        result = run_cli(*arguments)
        assert not control_characters(result.output), arguments
    odd = tmp_path / "odd\x1b[31m.toml"
    odd.write_text('x = "\u202e"\n[encoder]\n"\x9b" = 1', encoding="utf-8")
    result = run_cli("show", odd)
    assert result.exit_code == 2
    assert not control_characters(result.output)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
def test_any_encoding_of_the_terminal(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpmtl.cli.console import echo, protect_output

    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    protect_output()
    print_table("Größe →", "東京", rows=[("…", "−1 ✂")])
    echo("→ 東京 …")
    echo("→ 東京 …", err=True)
    for stream in streams.values():
        stream.flush()
        assert stream.buffer.getvalue()


def test_help_and_debug_on_every_command(run_cli: RunCli) -> None:
    for command in (
        "train",
        "check",
        "compare",
        "relate",
        "evaluate",
        "predict",
        "serve",
        "export",
        "submit",
        "push",
        "show",
    ):
        result = run_cli(command, "-h")
        assert (result.exit_code, "Usage: " in result.output) == (0, True)
        assert "  --debug  Show the traceback of an error." in result.output
    for arguments in (["--debug", "show", "no-such-run"], ["show", "no-such-run", "--debug"]):
        result = run_cli(*arguments)
        assert (result.exit_code, "Traceback" in result.output) == (2, True)
    assert "Traceback" not in run_cli("show", "no-such-run").output
    assert "Traceback" not in run_cli("show", "--", "--debug").output


def test_revision_on_every_command_that_reads_a_model(run_cli: RunCli, trained: Trained, tmp_path: Path) -> None:
    options: dict[str, list[Any]] = {
        "export": ["--output", tmp_path / "x"],
        "submit": ["--output", tmp_path / "x.zip"],
        "predict": ["a"],
    }
    options |= {"evaluate": ["--data", "quickstart"], "serve": ["--port", "0"]}
    for command in ("show", "serve", "evaluate", "predict", "export", "submit"):
        result = run_cli(command, trained.model_dir, *options.get(command, []), "--revision", "v1")
        assert result.exit_code == 2, command
        assert "remove revision='v1'" in result.output


def test_set_on_show_and_check(run_cli: RunCli, run_file: Path) -> None:
    shown = json.loads(run_cli("show", run_file, "--set", "train.lr=0.5", "--set", "eval.every=7").output)
    assert (shown["train"]["lr"], shown["eval"]["every"]) == (0.5, 7)
    assert "Config and data are OK: 3 steps" in run_cli("check", run_file, "--set", "train.steps=3").output
    assert "write train.lr" in run_cli("check", run_file, "--set", "learning_rate=3").output
    assert "--set applies to run files only" in run_cli("show", "kinds", "--set", "a=1").output
    assert "--revision applies to models on the Hub only" in run_cli("show", "quickstart", "--revision", "a").output


def test_a_panic_is_reported_as_an_error(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicError(BaseException):
        """A stand-in for the PanicException of pyo3."""

    def panic(*_: object, **__: object) -> None:
        raise PanicError("index out of bounds")

    monkeypatch.setattr("nlpmtl.run_config.load_config", panic)
    result = run_cli("show", "quickstart")
    assert (result.exit_code, "error: PanicError: index out of bounds" in result.output) == (1, True)


def test_completion(run_cli: RunCli, tmp_path: Path) -> None:
    from nlpmtl.cli.options import complete_runs

    (tmp_path / "mine.toml").touch()
    (tmp_path / "text.txt").touch()
    assert complete_runs("quick") == ["quickstart"]
    assert complete_runs(f"{tmp_path}/") == [f"{tmp_path}/mine.toml"]
    assert complete_runs(f"{tmp_path}/no/such/") == []
    assert "--install-completion" in run_cli("--help").output


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_commands_in_processes(encoding: str, hostile_model: Path, run_file: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in (
        ["show", "kinds"],
        ["show", hostile_model],
        ["check", run_file],
        ["predict", hostile_model, "東京"],
        ["-h"],
    ):
        command = [sys.executable, "-m", "nlpmtl", *map(str, arguments)]
        result = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert result.returncode == 0, (arguments, result.stderr.decode(errors="replace"))


@pytest.mark.slow
def test_predictions_on_a_terminal(hostile_model: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "nlpmtl", "predict", str(hostile_model), "a cat"]
    result = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    printed = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        printed += part
    os.close(ours)
    assert result.returncode == 0, result.stderr
    assert "topic" in printed.decode()
    assert not control_characters(printed.decode().replace("\r\n", "\n"))

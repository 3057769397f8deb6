"""The command line as a whole: arguments, exit codes, and what is not imported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import nlpmtl
from nlpmtl.cli import app
from nlpmtl.cli.app import NlpmtlCommand
from nlpmtl.errors import ConfigError, RunError
from tests.cli.conftest import RunCli

COMMAND_LINE = {
    "init": ["FILE...", "--task NAME=COLUMN:KIND...", "--output DIR", "--encoder NAME", "--force"],
    "check": ["RUN.toml|NAME", "--set KEY=VALUE...", "--html FILE.html"],
    "relate": ["RUN.toml|NAME", "--steps N", "--encoders K", "--output DIR", "--set KEY=VALUE...", "--json"],
    "train": ["RUN.toml|NAME", "--set KEY=VALUE...", "--output DIR", "--resume"],
    "compare": ["RUN.toml|NAME", "--seeds N", "--set KEY=VALUE...", "--output DIR", "--json"],
    "evaluate": [
        "MODEL",
        "--data RUN.toml|DATASET.toml",
        "--split NAME",
        "--revision REVISION",
        "--device auto|cpu|cuda|cuda:N|mps",
        "--dtype fp32|bf16|int8",
        "--plugins MODULE...",
        "--errors FILE.csv",
        "--json",
    ],
    "predict": [
        "MODEL",
        "[TEXT]...",
        "--task TASK...",
        "--input F.csv|F.tsv|F.jsonl|F.parquet|F.txt|-",
        "--text-column NAME...",
        "--on-bad-row stop|skip",
        "--delimiter CHAR",
        "--quoting minimal|none",
        "--encoding NAME",
        "--header NAME,…",
        "--all-scores",
        "--conllu",
        "--output F.csv|F.tsv|F.jsonl|F.parquet",
        "--overwrite",
        "--revision REVISION",
        "--device auto|cpu|cuda|cuda:N|mps",
        "--dtype fp32|bf16|int8",
        "--plugins MODULE...",
    ],
    "submit": [
        "MODEL",
        "--output F.zip",
        "--fill majority|zeros",
        "--device auto|cpu|cuda|cuda:N|mps",
        "--dtype fp32|bf16|int8",
        "--plugins MODULE...",
        "--revision REVISION",
    ],
    "push": ["MODEL", "REPO_ID", "--private", "--revision BRANCH", "--message TEXT", "--pull-request"],
    "export": [
        "MODEL",
        "--output DIR",
        "--to transformers|onnx|sentence-transformers",
        "--task TASK...",
        "--device auto|cpu|cuda|cuda:N|mps",
        "--dtype fp32|bf16|int8",
        "--plugins MODULE...",
        "--revision REVISION",
    ],
    "show": [
        "MODEL|RUN.toml|kinds",
        "--plugins MODULE...",
        "--set KEY=VALUE...",
        "--revision REVISION",
    ],
    "schema": ["--output DIR", "--plugins MODULE..."],
    "serve": [
        "MODEL",
        "--host ADDRESS",
        "--port N",
        "--max-batch N",
        "--max-queue N",
        "--max-inputs N",
        "--max-bytes N",
        "--max-connections N",
        "--header-timeout SECONDS",
        "--body-timeout SECONDS",
        "--device auto|cpu|cuda|cuda:N|mps",
        "--dtype fp32|bf16|int8",
        "--plugins MODULE...",
        "--revision REVISION",
    ],
}
HEAVY = {"torch", "transformers", "datasets", "accelerate", "evaluate", "numpy", "nlpmtl.config"}


def describe(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    assert len(parameter.opts) == 1
    value = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}"
    return f"{parameter.opts[0]}{value}{'...' if parameter.multiple else ''}"


def test_the_command_line_is_frozen() -> None:
    group: Any = get_command(app)
    described = {
        name: [describe(parameter) for parameter in command.params] for name, command in group.commands.items()
    }
    assert described == COMMAND_LINE
    assert [parameter.opts for parameter in group.params] == [
        ["--debug"],
        ["--version"],
        ["--install-completion"],
        ["--show-completion"],
    ]


def test_the_arguments_of_train_parse() -> None:
    group: Any = get_command(app)
    given = ["quickstart", "--set", "train.lr=3e-5", "--set", "seed=3", "--output", "out", "--resume"]
    context = group.commands["train"].make_context("train", given)
    assert context.params == {
        "run": "quickstart",
        "overrides": ["train.lr=3e-5", "seed=3"],
        "output": Path("out"),
        "resume": True,
    }


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['nlpmtl', *{arguments}]\n"
        "from nlpmtl.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded:', *sorted({HEAVY} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded:"
    assert "nlpmtl" in result.stdout.splitlines()[0]


def test_version(run_cli: RunCli) -> None:
    assert run_cli("--version").stdout == f"nlpmtl {nlpmtl.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'"),
        (["train"], "Missing argument"),
        (["train", "quickstart", "--stepps", "3"], "No such option: --stepps"),
        (["train", "quickstart", "--epochs", "3"], "--epochs is not an option; write --set train.epochs=…"),
        (["train", "quickstart", "--learning-rate=3e-5"], "write --set train.lr=3e-5"),
        (["train", "quickstart", "--seed", "3"], "write --set seed=…"),
        (["check", "quickstart", "--train.lr", "3e-5"], "write --set train.lr=…"),
        (
            ["train", "quickstart", "--datasets.x.sampling.temperature", "2"],
            "option; write sampling.temperature, with sampling.kind =",
        ),
        (["check", "quickstart", "train.lr=3e-5"], "train.lr=3e-5: write --set train.lr=3e-5"),
        (["compare", "quickstart", "--device", "cuda"], "training uses the GPU if there is one; remove it"),
        (["evaluate", "somewhere"], "Missing option '--data'"),
        (
            ["train", "quickstat"],
            "run file 'quickstat' does not exist, and no built-in run file has this name; did you mean 'quickstart'?",
        ),
        (["train", "quickstart", "--set", "train.lr"], "--set train.lr: write KEY=VALUE"),
        (["compare", "x", "--seeds", "0"], "Error: Invalid value for '--seeds': must be at least 1, found '0'"),
        (["compare", "x", "--seeds", "two"], "Error: Invalid value for '--seeds': a whole number was expected, found"),
        (["serve", "x", "--port", "70000"], "Error: Invalid value for '--port': must be at most 65535, found '70000'"),
        (["predict", "x", "y", "--dtype", "fp16"], "'--dtype': 'fp16' is not one of 'fp32', 'bf16', 'int8'\n"),
        (["submit", "x", "--output", "a.zip", "--fill", "no"], "'--fill': 'no' is not one of 'majority', 'zeros'\n"),
        (["check", "there/is/none.toml"], "none.toml: no such file; there is no directory 'there/is'"),
    ],
)
def test_usage_and_config_errors_end_with_2(arguments: list[str], message: str, run_cli: RunCli) -> None:
    result = run_cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def ending(raised: BaseException, *options: str) -> tuple[int, str]:
    """Return the exit code and stderr of a command that raises."""
    failing = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

    @failing.callback()
    def _options(debug: bool = False) -> None: ...

    @failing.command(cls=NlpmtlCommand)
    def fail() -> None:
        raise raised

    result = CliRunner().invoke(failing, [*options, "fail"])
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (ConfigError("a.toml: x: wrong\na.toml: y: wrong"), 2, "error: a.toml: x: wrong\na.toml: y: wrong\n"),
        (RunError("no disk"), 1, "error: no disk\n"),
        (
            ZeroDivisionError("by 0"),
            1,
            "error: ZeroDivisionError: by 0  (`nlpmtl --debug COMMAND …` shows the traceback)\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            BrokenPipeError(32, "of a server"),
            1,
            "error: BrokenPipeError: [Errno 32] of a server  (`nlpmtl --debug COMMAND …` shows the traceback)\n",
        ),
        (
            PermissionError(13, "Permission denied", "out/a.json"),
            1,
            "error: out/a.json: Permission denied  (`nlpmtl --debug COMMAND …` shows the traceback)\n",
        ),
        (SystemExit(143), 143, ""),
    ],
)
def test_exceptions_become_an_exit_code_and_plain_lines(raised: BaseException, code: int, message: str) -> None:
    assert ending(raised) == (code, message)


@pytest.mark.parametrize(("raised", "code"), [(ConfigError("wrong"), 2), (ZeroDivisionError("by 0"), 1)])
def test_debug_shows_the_traceback(raised: Exception, code: int) -> None:
    exit_code, message = ending(raised, "--debug")
    assert exit_code == code
    assert message.startswith("Traceback (most recent call last)")
    assert message.splitlines()[-1].endswith(str(raised))


@pytest.mark.slow  # a process that imports everything
def test_a_typo_ends_the_process_with_2(tmp_path: Path, to_toml: Callable[[Mapping[str, Any]], str]) -> None:
    path = tmp_path / "typo.toml"
    tables = {
        "encoder": {"name": "nowhere", "max_lenght": 8},
        "datasets": {
            "d": {
                "data": {"files": {"train": "t.jsonl"}},
                "input": {"text": "t"},
                "tasks": {"a": {"kind": "classification", "label": "l"}},
            }
        },
    }
    path.write_text(to_toml(tables), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "nlpmtl", "train", path], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (f"error: {path}: encoder.max_lenght: unknown key; did you mean 'max_length'? (found 8)\n")


def test_mistakes_in_toml_are_reported_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[encoder")
    (tmp_path / "uses_bad.toml").write_text('[datasets.d]\nuse = "bad.toml"\n')
    (tmp_path / "uses_none.toml").write_text('[datasets.d]\nuse = "data/none.toml"\n')
    (tmp_path / "good.toml").write_text('[datasets.d]\nuse = "good.toml"\n')
    commands = [
        ["train", "{}"],
        ["check", "{}"],
        ["compare", "{}"],
        ["relate", "{}"],
        ["evaluate", "m", "--data", "{}"],
    ]
    names = ("bad.toml", "none.toml", "nobody", "uses_bad.toml", "uses_none.toml")
    calls = [[part.format(name) for part in command] for name in names for command in commands]
    calls.append(["train", "bad.toml", "--set", "no sign"])
    calls.append(["train", "good.toml", "--set", "datasets.d.extends=none.toml"])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"tasks": {"topic": {}}}')
    calls.append(["predict", "model", "a text", "--task", "topc"])
    code = (
        "import sys; from typer.testing import CliRunner; from nlpmtl.cli import app\n"
        f"for call in {calls!r}:\n"
        "    done = CliRunner().invoke(app, call)\n"
        "    assert done.exit_code == 2 and 'error: ' in done.stderr and not done.stdout, (call, done.output)\n"
        "    assert not {'torch', 'transformers', 'datasets'} & sys.modules.keys(), call\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow  # two processes that import everything, and train
def test_signals_end_a_run_without_a_traceback(tmp_path: Path, run_file: Path) -> None:
    runs = {}
    for sent in (signal.SIGINT, signal.SIGTERM):  # both at once: loading takes most of the time
        output = tmp_path / sent.name
        endless = ["--set", "train={steps=1000000, save_every=1000000}", "--set", "eval.every=1000000"]
        elsewhere = ["--output", str(output)] if sent == signal.SIGINT else ["--set", f"output={output}"]
        command = [sys.executable, "-m", "nlpmtl", "train", str(run_file), *endless, *elsewhere]
        runs[sent] = output, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for sent, (output, process) in runs.items():
            metrics = output / "metrics.jsonl"
            while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
                time.sleep(0.05)
            process.send_signal(sent)
            stdout, stderr = process.communicate(timeout=120)
            assert (process.returncode, stdout) == (128 + sent, "")
            assert not any(word in stderr for word in ("Traceback", "error", "Error"))
            last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])["step"]
            assert (
                stderr.splitlines()[-1]
                == f"stopped after step {last} of 1000000; continue with the same command plus --resume, from Python "
                "with resume=True"
            )
            assert f"\nto resume: nlpmtl train {run_file} --output {output} --resume\n" in stderr
            assert (output / "checkpoints" / f"step-{last:06d}" / "manifest.json").exists()
    finally:
        for _, process in runs.values():
            process.kill()

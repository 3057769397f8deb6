"""Standard streams that cannot be written, in real processes: closed pipes and a full disk."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import sys
from pathlib import Path
from nlpmtl.cli.streams import exit_on_closed_stdout, steady_streams

with steady_streams():
    if sys.argv[2] == "prints":
        exit_on_closed_stdout()
    for number in range(3000):
        print("a line of results", number)
        print("a line of progress", number, file=sys.stderr)
    descriptors = [open(sys.argv[1] + ".data", "w").fileno()]
    Path(sys.argv[1]).write_text(str(descriptors))
"""
STREAMS = {
    "read to the first line": "{0} 2>&1 | head -n 1",
    "stdout read to the first line": "{0} 2>/dev/null | head -n 1",
    "both closed": "{0} >&- 2>&-",
    "all three closed": "{0} <&- >&- 2>&-",
    "stdout closed": "{0} >&- 2>/dev/null",
    "stderr closed": "{0} 2>&- >/dev/null",
    "a full disk": "{0} >/dev/full 2>&1",
    "stderr on a full disk": "{0} 2>/dev/full >/dev/null",
    "unbuffered": "PYTHONUNBUFFERED=1 {0} 2>&1 | head -n 1",
}


def shell(line: str, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a line of bash; return the exit code of the command."""
    words = shlex.join(str(part) for part in command)
    script = f"set -o pipefail; {line.format(words)}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("stream", STREAMS)
def test_work_continues_and_exits_with_0(tmp_path: Path, stream: str) -> None:
    result = shell(STREAMS[stream], sys.executable, "-c", SCRIPT, tmp_path / "done", "works")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads((tmp_path / "done").read_text())[0] > 2, "a file has the number of a standard stream"
    assert (tmp_path / "done.data").read_text() == ""


@pytest.mark.parametrize(
    "stream", ["read to the first line", "stdout read to the first line", "a full disk", "unbuffered"]
)
def test_printing_exits_quietly_with_0(tmp_path: Path, stream: str) -> None:
    result = shell(STREAMS[stream], sys.executable, "-c", SCRIPT, tmp_path / "done", "prints")
    assert (result.returncode, result.stderr) == (0, "")
    assert not (tmp_path / "done").exists(), "the process continued"


def test_results_that_a_full_disk_does_not_take_are_mentioned(tmp_path: Path) -> None:
    quiet = SCRIPT.replace('print("a line of progress", number, file=sys.stderr)', "pass")
    result = shell("{0} >/dev/full", sys.executable, "-c", quiet, tmp_path / "done", "prints")
    assert (result.returncode, result.stderr) == (0, "stdout cannot be written: No space left on device\n")


def test_an_exit_code_is_kept(tmp_path: Path) -> None:
    code = "from nlpmtl.cli.streams import *\nwith steady_streams():\n    print('x')\n    raise SystemExit(2)\n"
    for line in ("{0} >/dev/full", "{0} >&- 2>&-", "{0}"):
        assert shell(line, sys.executable, "-c", code).returncode == 2


def test_help_into_a_closed_pipe() -> None:
    result = shell("{0} | true", sys.executable, "-m", "nlpmtl", "--help")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow
def test_a_full_non_blocking_pipe_is_waited_for(tmp_path: Path) -> None:
    """As from a parent process whose pipes are non-blocking, and that reads them later."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "done"), "works"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL) as process, os.fdopen(reading) as output:
        os.close(writing)
        with pytest.raises(subprocess.TimeoutExpired):  # the pipe is smaller than the output
            process.wait(3)
        assert len(output.readlines()) == 3000
    assert process.returncode == 0


def test_the_streams_are_restored() -> None:
    code = (
        "import sys\nfrom nlpmtl.cli.streams import steady_streams\nbefore = sys.stdout, sys.stderr\n"
        "with steady_streams():\n    assert sys.stdout is not before[0]\n    print('ä', end='')\n"
        "assert (sys.stdout, sys.stderr) == before\nprint('ö')\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert result.stdout.decode("utf-8").splitlines() == ["äö"]


@pytest.mark.slow  # processes that import everything, and train
@pytest.mark.parametrize("stream", ["read to the first line", "both closed", "a full disk"])
def test_train_compare_and_relate_continue(tmp_path: Path, run_file: Path, stream: str) -> None:
    short = ["--set", "train.steps=40", "--set", "train.save_every=200", "--set", "eval.every=2"]
    result = shell(
        STREAMS[stream], sys.executable, "-m", "nlpmtl", "train", run_file, *short, "--output", tmp_path / "out"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 40
    assert (tmp_path / "out" / "model" / "README.md").exists()
    if stream != "read to the first line":
        return
    short = ["--set", "train.steps=4", "--set", "eval.every=2", "--seeds", "1"]
    result = shell(
        STREAMS[stream], sys.executable, "-m", "nlpmtl", "compare", run_file, *short, "--output", tmp_path / "c"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "c" / "compare.md").exists()
    result = shell(
        STREAMS[stream], sys.executable, "-m", "nlpmtl", "relate", run_file, "--steps", 10, "--output", tmp_path / "r"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "r" / "relate.json").exists()


@pytest.mark.slow  # processes that import everything
@pytest.mark.parametrize("stream", ["read to the first line", "both closed"])
def test_the_other_commands_exit_quietly(tmp_path: Path, run_file: Path, trained: Any, stream: str) -> None:
    (tmp_path / "texts.txt").write_text("a cat\n" * 2000)
    for command in (
        ["predict", trained.model_dir, "--input", tmp_path / "texts.txt"],
        ["show", trained.model_dir],
        ["show", "kinds"],
        ["check", run_file],
        ["evaluate", trained.model_dir, "--data", run_file],
        ["schema"],
        ["export", trained.model_dir, "--task", "topic", "--output", tmp_path / "exported"],
    ):
        result = shell(STREAMS[stream], sys.executable, "-m", "nlpmtl", *command)
        assert (result.returncode, result.stderr) == (0, ""), command
    assert (tmp_path / "exported" / "config.json").exists()
    output = tmp_path / "predictions.jsonl"
    command = ["predict", trained.model_dir, "--input", tmp_path / "texts.txt", "--output", output]
    assert shell(STREAMS[stream], sys.executable, "-m", "nlpmtl", *command).returncode == 0
    assert len(output.read_text().splitlines()) == 2000

"""`nlpmtl push`: the printed address, and errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub_server import WRITER, Hub, model_files, serve_hub

Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def push(tmp_path: Path) -> Push:
    def push(hub: Hub, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nlpmtl", "push", str(tmp_path / "model"), *arguments],
            env=hub.environment(tmp_path / "home") | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return push


@pytest.mark.slow
def test_the_page_of_the_commit_is_printed(push: Push, tmp_path: Path) -> None:
    model_files.write(tmp_path / "model", model_files.files())
    with serve_hub() as hub:
        result = push(hub, "me/x", "--private", "--message", "Hello", "--revision", "dev", HF_TOKEN=WRITER)
        repo = hub.models["me/x"]
        head = repo.commits[repo.branches["dev"]]
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"{hub.url}/me/x/commit/{head.sha}\n"
        assert (repo.private, head.message) == (True, "Hello")
        again = push(hub, "me/x", "--pull-request", HF_TOKEN=WRITER)
        assert again.stdout == f"{hub.url}/me/x/discussions/1\n"


@pytest.mark.slow
def test_an_error_is_a_line_and_an_exit_code(push: Push, tmp_path: Path) -> None:
    with serve_hub() as hub:
        absent = push(hub, "me/x", HF_TOKEN=WRITER)
        model_files.write(tmp_path / "model", model_files.files())
        refused = push(hub, "me/x", HF_TOKEN="hf_of_nobody")
    for result in (absent, refused):
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ")
        assert result.stderr.count(os.linesep) == 1
        assert "hf_" not in result.stderr

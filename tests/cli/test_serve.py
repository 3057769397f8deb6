"""`nlpmtl serve`: errors before the model is loaded."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.cli.conftest import RunCli


def test_a_missing_extra_is_reported(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run_cli("serve", "some/model")
    assert (result.exit_code, result.stderr) == (2, "error: uvicorn is not installed: pip install 'nlpmtl[serve]'\n")


def test_a_port_in_use_ends_with_2(run_cli: RunCli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run_cli("serve", "no/such/model", "--port", other.getsockname()[1])
    assert (result.exit_code, result.stdout) == (2, "")
    assert ": Address already in use; choose another --port" in result.stderr


@pytest.mark.parametrize("option", ["--max-batch", "--max-queue", "--max-inputs", "--max-bytes"])
def test_limits_begin_at_one(option: str, run_cli: RunCli) -> None:
    result = run_cli("serve", "no/such/model", option, "0")
    assert (result.exit_code, option in result.stderr) == (2, True)

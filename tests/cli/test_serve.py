"""`nlpmtl serve`: a served model, options, and errors before the model is loaded."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import RunCli

if TYPE_CHECKING:
    from tests.tiny import Trained


def test_a_model_is_served_until_the_server_stops(
    trained: Trained, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpmtl.serving import server

    class StopsAtOnce(server.Server):
        def __init__(self, config: Any, *, ready: Callable[[], None], **options: Any) -> None:
            def stop() -> None:
                ready()
                self.should_exit = True

            super().__init__(config, ready=stop, **options)

    monkeypatch.setattr(server, "Server", StopsAtOnce)
    result = run_cli("serve", trained.model_dir, "--port", "0")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.match(rf"serving {trained.model_dir} on http://127\.0\.0\.1:\d+ \(topic, mood,", result.stderr)


def test_options_are_limits_of_the_server(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpmtl.serving import Limits

    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("nlpmtl.serving.serve", lambda model, **options: calls.append(options))
    options = ("--max-batch", "2", "--max-connections", "3", "--header-timeout", "4", "--body-timeout", "5")
    assert run_cli("serve", "a/model", "--port", "6", *options).exit_code == 0
    assert (calls[0]["port"], calls[0]["device"]) == (6, "auto")
    assert calls[0]["limits"] == Limits(batch=2, connections=3, header_seconds=4, body_seconds=5)


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

"""The server process: port, shutdown and exit codes."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.serving import Limits, serve
from nlpmtl.serving.server import bind_socket
from tests.serving.conftest import Client

if TYPE_CHECKING:
    from tests.tiny import Trained


@contextmanager
def process(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], Client, str]]:
    """Yield a server process, a client, and the line that it prints when it is ready."""
    command = [sys.executable, "-W", "error", "-m", "nlpmtl", "serve", str(model), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        try:
            line = child.stderr.readline()
            match = re.search(r"http://[^:]+:(\d+)", line)
            assert match, line + child.stderr.read()
            client = Client(int(match[1]))
            yield child, client, line
            client.close()
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("sent", "last"),
    [(signal.SIGTERM, ""), (signal.SIGINT, "interrupted\n")],
)
@pytest.mark.slow
def test_a_signal_lets_running_requests_finish(sent: signal.Signals, last: str, trained: Trained) -> None:
    with process(trained.model_dir) as (server, client, line), ThreadPoolExecutor(1) as threads:
        assert line.startswith(f"serving {trained.model_dir} on http://127.0.0.1:")
        assert line.endswith(" (topic, mood, places, grade, kinds)\n")
        assert client.get("/health").status == 200
        heavy = Client(client.port)
        body = {"inputs": [["ada lives in turin " * 90]] * 60}
        running = threads.submit(heavy.post, "/predict/places", body)
        while "nlpmtl_batch_inputs_sum 60" not in client.get("/metrics").body.decode():
            assert not running.done() or running.result().status == 200
            time.sleep(0.005)
        assert not running.done(), "the request must still be running"
        server.send_signal(sent)
        reply = running.result(60)
        assert (reply.status, len(reply.json)) == (200, 60)
        heavy.close()
        assert server.wait(60) == 128 + sent
        assert server.stderr is not None
        assert server.stdout is not None
        assert server.stderr.read() == "shutting down\n" + last
        assert server.stdout.read() == ""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", client.port))


@pytest.mark.slow
def test_a_closed_stderr_does_not_block_shutdown(trained: Trained) -> None:
    with process(trained.model_dir) as (server, client, _):
        assert server.stderr is not None
        server.stderr.close()
        server.terminate()
        assert server.wait(60) == 128 + signal.SIGTERM
        client.close()


@pytest.mark.slow
def test_the_examples_of_the_model_card_are_shown(trained: Trained, tmp_path: Path) -> None:
    model = shutil.copytree(trained.model_dir, tmp_path / "model")
    (model / "README.md").write_text("---\nwidget:\n- text: Ada lives in Rome.\n---\n")
    with process(model) as (_, client, _):
        assert client.get("/info").json["examples"] == [{"text": "Ada lives in Rome."}]


def test_a_port_in_use_is_reported_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot bind http://127.0.0.1:{port}: Address already in use"):
            serve("no/such/model", host="127.0.0.1", port=port, limits=Limits())


def test_an_invalid_host() -> None:
    with pytest.raises(ConfigError, match="--host no such host: "):
        bind_socket("no such host", 0)
    with pytest.raises(ConfigError, match=r"cannot bind http://192\.0\.2\.1:0: .*; choose another --host"):
        bind_socket("192.0.2.1", 0)
    for host in ("a..b", ".", "x" * 70, "é" * 70, "\ud800"):
        with pytest.raises(ConfigError, match=r"--host .*: not the name of a host: "):
            bind_socket(host, 0)


def test_a_missing_model_releases_the_port(tmp_path: object) -> None:
    with bind_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match="cannot be loaded"):
        serve(str(tmp_path), host="127.0.0.1", port=port, limits=Limits())
    bind_socket("127.0.0.1", port).close()

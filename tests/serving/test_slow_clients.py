"""Clients that send slowly or not at all, or do not read responses."""

from __future__ import annotations

import asyncio
import logging
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.conftest import Client, running

if TYPE_CHECKING:
    from nlpmtl.inference.predictor import Predictor
    from tests.tiny import Trained

HEADER = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
FILES = 300
"""Limit of open files of the server, below the number of slow clients."""


@pytest.fixture(scope="module")
def port(predictor: Predictor) -> Iterator[int]:
    """Yield the port of a server with timeouts of a second."""
    from nlpmtl.serving import Limits

    with running(predictor, Limits(header_seconds=1, body_seconds=1)) as server:
        yield server.port


@pytest.fixture(scope="module")
def process_port(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a server process with few file descriptors and timeouts of a second."""
    code = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES})); "
        "runpy.run_module('nlpmtl', run_name='__main__')"
    )
    options = ("--port", "0", "--header-timeout", "1", "--body-timeout", "1")
    command = [sys.executable, "-W", "error", "-c", code, "serve", str(trained.model_dir), *options]
    log = tmp_path_factory.mktemp("serve") / "stderr"
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as server:
        try:
            while not (match := re.search(r"http://[^:]+:(\d+)", log.read_text())):
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield int(match[1])
            assert server.poll() is None
            assert log.stat().st_size < 5_000, log.read_text()[:5_000]
        finally:
            server.kill()


def connect(port: int, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(content)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = b""
    while part := connection.recv(65536):
        content += part
    return content


def health(port: int) -> int:
    client = Client(port)
    try:
        return client.get("/health").status
    finally:
        client.close()


@pytest.mark.parametrize("content", [HEADER, HEADER + b"Content-Length: 100\r\n\r\n{"])
@pytest.mark.slow
def test_more_slow_connections_than_file_descriptors_do_not_block_requests(content: bytes, process_port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with ExitStack() as connections:
            for number in range(1100):
                connections.enter_context(connect(process_port, content))
                if number % 275 == 0:
                    assert health(process_port) == 200
            assert health(process_port) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_incomplete_header_gives_408(port: int) -> None:
    with connect(port, b"") as silent, connect(port, HEADER) as incomplete:
        assert read_all(silent) == b""
        response = read_all(incomplete)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b'"error": "the request\'s header was not complete within 1 seconds"' in response


def test_an_incomplete_body_gives_408(port: int) -> None:
    with connect(port, HEADER + b'Content-Length: 30\r\n\r\n{"inputs": ') as incomplete:
        response = read_all(incomplete)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"the request's body was not complete within 1 seconds" in response


@pytest.mark.parametrize(
    ("start", "part"),
    [
        pytest.param(b"", b"\r\n", marks=pytest.mark.slow),
        (HEADER, b"X-A: b\r\n"),
        pytest.param(HEADER + b"Content-Length: 9000\r\n\r\n", b" ", marks=pytest.mark.slow),
        pytest.param(HEADER + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", marks=pytest.mark.slow),
        # A second header, after a request that was answered.
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n", marks=pytest.mark.slow),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", b" "),  # answered before its body ends
    ],
)
def test_a_trickled_request_times_out(start: bytes, part: bytes, port: int) -> None:
    with connect(port, start) as slow:
        slow.settimeout(0.1)
        for _ in range(100):
            try:
                slow.sendall(part)
                if slow.recv(65536) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the connection was open for ten seconds")


def test_an_unread_response_does_not_block_later_requests(port: int) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as connections:
        for _ in range(5):
            unread = connections.enter_context(socket.socket())
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            unread.connect(("127.0.0.1", port))
            unread.sendall(request * 200)
        assert health(port) == 200


@asynccontextmanager
async def serving(body: bytes, **limits: Any) -> AsyncIterator[tuple[str, int]]:
    """Yield the address of a server that sends a body for every request."""
    from uvicorn.server import ServerState

    from nlpmtl.serving import Limits
    from nlpmtl.serving.connections import LimitedProtocol
    from nlpmtl.serving.server import uvicorn_config

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    loop, state = asyncio.get_running_loop(), ServerState()
    settings = uvicorn_config(app, Limits(**limits))
    settings.load()
    server = await loop.create_server(lambda: LimitedProtocol(settings, state, {}), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()


async def get(address: tuple[str, int]) -> bytes:
    """Send a request, and return the response."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    content = await reader.read()
    writer.close()
    return content


def test_a_large_response_that_was_read_is_not_timed_out() -> None:
    """The connection is closed while the client still reads, and the timer that would abort it has nothing to do."""
    body = b"x" * 2**23

    async def run() -> list[dict[str, Any]]:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with serving(body, write_seconds=0.3) as address:
            assert body in await get(address)
            await asyncio.sleep(0.4)
        return errors

    assert asyncio.run(run()) == []


def test_clients_that_do_not_read_pipelined_responses_do_not_block_others() -> None:
    """The second response of each waits for the first to be read."""
    body = b"x" * 2**23

    async def run() -> None:
        async with serving(body, connections=3) as address:
            unread = [await asyncio.open_connection(*address) for _ in range(3)]
            for _, writer in unread:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            await asyncio.sleep(0.2)
            assert body in await get(address)
            for _, writer in unread:
                writer.close()

    asyncio.run(run())


def test_requests_on_one_connection_have_separate_timeouts(port: int) -> None:
    client = Client(port)
    for _ in range(4):
        assert client.get("/health").status == 200
        time.sleep(0.4)
    client.close()
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(port, request + request + b"GET /health HTTP/1.1\r\n") as pipelined:
        time.sleep(0.3)
        pipelined.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        assert read_all(pipelined).count(b"HTTP/1.1 200 ") == 3


def test_limits_fit_the_file_descriptors() -> None:
    from nlpmtl.serving.connections import divide, fit_to_files

    for files in (-5, 3, 20, 300, 1000, 1255):
        connections, backlog = divide(files, 1000, 128)
        assert 1 <= backlog <= 128
        assert 1 <= connections < 1000
        assert connections + 2 * backlog <= max(files, 3)
    assert divide(1256, 1000, 128) == (1000, 128)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert fit_to_files(150, backlog=10) == (150, 10)
        assert 200 < resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= hard  # raised as far as needed
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_logging_is_limited_and_reports_omitted_lines(tmp_path: Path) -> None:
    from nlpmtl.serving.logs import RateLimitedHandler

    with (tmp_path / "log").open("w+") as stream:
        handler = RateLimitedHandler(records=2, seconds=0.2, stream=stream)
        logger = logging.Logger("test")
        logger.addHandler(handler)
        for number in range(50):
            if number == 49:
                time.sleep(0.25)
            logger.error("bad %d \x1b[31m", number)
        logger.error("another place")
        stream.seek(0)
        assert stream.read().splitlines() == [
            "bad 0 \\x1b[31m",
            "bad 1 \\x1b[31m",
            "(47 similar messages were omitted)",
            "bad 49 \\x1b[31m",
            "another place",
        ]

"""The server with slow clients, and with a tokenizer that panics."""

from __future__ import annotations

import json
import random
import resource
import socket
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import Predictor
from tests.faults.harness import FaultCount, single_thread_environment
from tests.serving.process import started
from tests.tiny import break_tokenizer, make_run, numbers, train_tiny, without_numbers

PATIENCE = 60.0
"""Seconds to wait for a response, or for the end of a connection."""
_LOG_LIMIT = 20_000
"""Limit of the bytes that the server writes to stderr."""
_HEADER = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_SLOW = {
    "nothing": b"",
    "half a request line": b"POST /pre",
    "half a header": _HEADER,
    "no body": _HEADER + b"Content-Length: 100\r\n\r\n",
    "half a body": _HEADER + b'Content-Length: 100\r\n\r\n{"inputs": ',
    "half a chunked body": _HEADER + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}
"""What a slow client sends before it stops."""


def slow_clients(scratch: Path, *, connections: int) -> FaultCount:
    """Open many connections with unfinished requests: /health responds, and the server closes all of them."""
    count = FaultCount(
        f"{connections:,} connections with unfinished requests, of {len(_SLOW)} kinds: /health responds meanwhile, "
        "the server closes all of them, and its log stays short"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(connections + 500, hard), hard))
    log = scratch / "stderr"
    try:
        with _server(_model(scratch), log, "--header-timeout", "5", "--body-timeout", "5") as port:
            for name, request_start in _SLOW.items():
                slow = [_connect(port, request_start) for _ in range(connections)]
                for attempt in range(20):
                    status = _request(port, "GET", "/health")[0]
                    count.add(f"{name}: /health {attempt}", status == 200, f"status {status}")
                open_count = sum(not _is_closed(connection) for connection in slow)
                count.add(f"{name}: closed", open_count == 0, f"{open_count} still open after {PATIENCE:g} s")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    log_size = log.stat().st_size
    count.add("log", log_size < _LOG_LIMIT, f"{log_size} bytes")
    return count


def panics(scratch: Path, *, requests: int) -> FaultCount:
    """Send requests of which a third make the tokenizer panic: only those fail, and the server keeps running."""
    count = FaultCount(
        "requests by 8 concurrent clients, a third of which make the tokenizer panic: those get status 422, all others "
        "their predictions, and /health responds at the end"
    )
    model = break_tokenizer(_model(scratch))
    generator = random.Random(0)
    valid = ["a cat", "a dog sings"]
    texts = [generator.choice([*valid, "the café"]) for _ in range(requests)]
    expected = dict(zip(valid, Predictor.from_pretrained(model).predict_all(valid), strict=True))
    log = scratch / "stderr"
    with _server(model, log) as port, ThreadPoolExecutor(8) as clients:

        def predict(text: str) -> tuple[int, Any]:
            return _request(port, "POST", "/predict", {"inputs": text})

        for text, (status, body) in zip(texts, clients.map(predict, texts), strict=True):
            if text in expected:
                passed = status == 200 and _are_close(json.loads(body), expected[text])
            else:
                passed = status == 422
            count.add(text, passed, f"status {status}: {body}")
        status, body = _request(port, "GET", "/health")
        count.add("/health", status == 200, f"status {status}: {body}")
    return count


def _are_close(predictions: Any, expected: Any) -> bool:
    """Return whether two predictions are equal, and their scores within 1e-5."""
    return without_numbers(predictions) == without_numbers(expected) and numbers(predictions) == pytest.approx(
        numbers(expected), abs=1e-5
    )


def _model(scratch: Path) -> Path:
    return train_tiny(make_run(scratch / "tiny")).model_dir


@contextmanager
def _server(model: Path, log: Path, *options: str) -> Iterator[int]:
    """Start a server process, and yield its port."""
    command = [sys.executable, "-m", "nlpmtl", "serve", str(model), "--port", "0", *options]
    with started(command, log, environment=single_thread_environment()) as port:
        yield port


def _request(port: int, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    """Return the status of a response, 0 for none, and its body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8")
    except OSError as error:
        return 0, repr(error)
    finally:
        connection.close()


def _connect(port: int, content: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(content)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes a connection in time."""
    with connection:
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True  # connection reset
        return True

"""Servers in a thread, on real ports, and clients."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nlpmtl import MultiTaskModel
from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving import Limits, create_app
from nlpmtl.serving.batcher import Batcher
from nlpmtl.serving.server import Server, bind_socket, uvicorn_config
from tests.tiny import favour_entities

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.serving.browser import Page
    from tests.tiny import Trained

SMALL = Limits(batch=16, queue=100, inputs=8, bytes=20_000)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A client with one persistent connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def post(self, path: str, body: Any) -> Reply:
        return self.send("POST", path, json.dumps(body).encode())

    def send(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Reply:
        sent_headers = {"Content-Type": "application/json"} if headers is None else headers
        self._connection.request(
            method, path, body, sent_headers, encode_chunked=sent_headers.get("Transfer-Encoding") == "chunked"
        )
        response = self._connection.getresponse()
        response_headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, response_headers, response.read())

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Running:
    port: int
    batcher: Batcher

    @contextmanager
    def client(self) -> Iterator[Client]:
        client = Client(self.port)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def running(predictor: Predictor, limits: Limits = SMALL, *, name: str = "a-model") -> Iterator[Running]:
    """A server in a thread, and its port."""
    app, batcher = create_app(predictor, name=name, limits=limits)
    up = threading.Event()
    with bind_socket("127.0.0.1", 0) as listener:
        server = Server(uvicorn_config(app, limits), ready=up.set, ending=batcher.refuse)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert up.wait(30)
            yield Running(listener.getsockname()[1], batcher)
        finally:
            server.should_exit = True
            thread.join()
            batcher.stop()


@pytest.fixture(scope="session")
def predictor(trained: Trained) -> Predictor:
    """A predictor with a bias, so that it predicts many entities."""
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert isinstance(predictor.model, MultiTaskModel)
    favour_entities(predictor.model)
    return predictor


@pytest.fixture(scope="session")
def server(predictor: Predictor) -> Iterator[Running]:
    with running(predictor) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    from tests.serving.browser import started_browser

    with started_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Chrome, server: Running) -> Page:
    from tests.serving.browser import Page, emulate

    emulate(browser, width=1280, scheme="light")
    return Page(browser, server)

"""A server with default options in a process with few file descriptors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.serving.conftest import Client
from tests.serving.process import started
from tests.serving.test_slow_clients import FILES, HEADER, connect, health

if TYPE_CHECKING:
    from tests.tiny import Trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def port(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    limited = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES})); "
        "runpy.run_module('nlpmtl', run_name='__main__')"
    )
    command = [sys.executable, "-c", limited, "serve", str(trained.model_dir.resolve()), "--port", "0"]
    with started(command, tmp_path_factory.mktemp("serve") / "stderr") as port:
        yield port


def test_no_local_path_is_published(port: int, trained: Trained) -> None:
    client = Client(port)
    for path in ("/", "/info", "/openapi.json"):
        assert str(trained.model_dir.parent.resolve()).encode() not in client.get(path).body
    client.close()


def test_slow_clients_do_not_block_requests(port: int) -> None:
    with ExitStack() as connections:
        for _ in range(FILES + 100):
            connections.enter_context(connect(port, HEADER))
        assert health(port) == 200

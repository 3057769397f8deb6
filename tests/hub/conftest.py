"""A local Hub server, and a process with a client of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import Hub, model_files, serve_hub
from tests.hub_server.client import Client, open_client


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with serve_hub() as served:
        yield served


@pytest.fixture
def hub(served: Hub) -> Hub:
    served.faults.clear()
    return served


@pytest.fixture(scope="module")
def client(served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client process with an access token."""
    with open_client(served, tmp_path_factory.mktemp("home")) as opened:
        yield opened
        assert "Traceback" not in opened.stderr_text()
        assert "hf_" not in opened.stderr_text()  # prefix of access tokens


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of a repository for one test."""
    return "me/" + re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:80].strip("-")


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return model_files.write(tmp_path / "model", model_files.files())

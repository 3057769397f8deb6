from collections.abc import Iterator

import pytest

from tests.hub import Hub, serve_hub
from tests.hub.client import Client, open_client


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve_hub() as served:
        yield served


@pytest.fixture(scope="module")
def client(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A process that pushes and fetches, logged in by HF_TOKEN."""
    with open_client(hub, tmp_path_factory.mktemp("home")) as opened:
        yield opened
        assert "Traceback" not in opened.said()
        assert "hf_" not in opened.said()  # how tokens begin

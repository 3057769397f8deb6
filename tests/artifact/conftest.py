"""The stand-in for the Hub with a client of it, and the small trained model as an ONNX graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hub import Hub, model, serve_hub
from tests.hub.client import Client, open_client

if TYPE_CHECKING:
    from tests.tiny import Trained


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
    """A process that pushes and fetches, logged in by HF_TOKEN."""
    with open_client(served, tmp_path_factory.mktemp("home")) as opened:
        yield opened
        assert "Traceback" not in opened.said()
        assert "hf_" not in opened.said()  # how tokens begin


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return "me/" + re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:80].strip("-")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return model.write(tmp_path / "model", model.files())


@dataclass(frozen=True)
class Exported:
    """Where it is, the model directory that it was made of, and how far its logits were said to be from torch's."""

    directory: Path
    source: Path
    apart: float


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    import torch

    from nlpmtl.artifact import export_onnx, load_model

    root = tmp_path_factory.mktemp("exported")
    loaded, tokenizer = load_model(str(trained.model_dir))
    with torch.no_grad():
        loaded.head("places").get_submodule("out").get_parameter("bias")[0] -= 10  # of O: it finds entities everywhere
    for one in (loaded, tokenizer):
        one.save_pretrained(root / "source")
    apart = export_onnx(loaded, tokenizer, directory=root / "onnx")
    return Exported(root / "onnx", root / "source", apart)

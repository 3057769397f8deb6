"""Fixtures of all tests: no network, no progress bars, one thread, and a small trained model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # both import torch, which many tests do not need
    from tests.exported import Exported
    from tests.label_loader import Loader
    from tests.tiny import Trained

# Set before the libraries that read these variables are imported; child processes inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dataset cache for this test session; child processes inherit it."""
    before = os.environ.get("NLPMTL_CACHE")
    directory = tmp_path_factory.mktemp("cache")
    os.environ["NLPMTL_CACHE"] = str(directory)
    yield directory
    os.environ.pop("NLPMTL_CACHE")
    if before is not None:
        os.environ["NLPMTL_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def placeholder_plots() -> Iterator[None]:
    """Draw plots of one pixel, except for the tests that use `drawn_plots`."""
    if "torch" not in sys.modules:  # no collected file trains a run, and the import takes seconds
        yield
        return
    from tests.placeholder_plots import PLACEHOLDERS, replaced

    with replaced(PLACEHOLDERS):
        yield


@pytest.fixture(scope="module")
def drawn_plots() -> Iterator[None]:
    """Draw the plots of the runs in a file."""
    from tests.placeholder_plots import DRAWN, replaced

    with replaced(DRAWN):
        yield


@pytest.fixture(scope="session")
def to_toml() -> Callable[[Mapping[str, Any]], str]:
    """Return a config as the text of a TOML file."""

    def write(value: object) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key} = {write(inner)}" for key, inner in value.items()) + "}"
        return json.dumps(value)

    return lambda tables: "".join(f"{key} = {write(value)}\n" for key, value in tables.items())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of five task types (see `make_run`), trained until it finds places and people."""
    from tests.placeholder_plots import DRAWN, replaced
    from tests.tiny import make_run, train_tiny

    directory = tmp_path_factory.mktemp("trained")
    train = {"steps": 60, "batch_size": 16, "lr": 5e-3, "save_every": 20, "precision": "fp32"}
    with replaced(DRAWN):
        return train_tiny(make_run(directory, train=train, eval={"every": 20}))


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Exported:
    """The small trained model as an ONNX graph, with a bias so that it predicts many entities.

    The first worker of pytest-xdist that needs it exports it, which takes ten seconds.
    """
    from filelock import FileLock

    from nlpmtl.export import export_onnx
    from nlpmtl.hub import load_model
    from tests.exported import Exported
    from tests.tiny import favour_entities

    own = tmp_path_factory.getbasetemp()
    root = (own if worker_id == "master" else own.parent) / "exported"
    written = root / "difference.json"
    with FileLock(f"{root}.lock"):
        if not written.exists():
            loaded, tokenizer = load_model(str(request.getfixturevalue("trained").model_dir))
            favour_entities(loaded)
            for part in (loaded, tokenizer):
                part.save_pretrained(root / "source")
            difference = export_onnx(loaded, tokenizer, directory=root / "onnx")
            written.write_text(json.dumps(difference), encoding="utf-8")
    return Exported(root / "onnx", root / "source", json.loads(written.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Load the data of one task without training."""
    from nlpmtl.model import load_encoder
    from tests.label_loader import Loader
    from tests.tiny import write_encoder

    encoder = write_encoder(tmp_path_factory.mktemp("encoder"))
    return Loader(encoder, load_encoder(str(encoder)).tokenizer)

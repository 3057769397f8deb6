"""The small trained model as an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.tiny import Trained


@dataclass(frozen=True)
class Exported:
    """Where it is, and how far its logits were said to be from torch's."""

    directory: Path
    apart: float


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    from nlpmtl.artifact import export_onnx, load_model

    model, tokenizer = load_model(str(trained.model_dir))
    directory = tmp_path_factory.mktemp("exported") / "onnx"
    return Exported(directory, export_onnx(model, tokenizer, directory=directory))

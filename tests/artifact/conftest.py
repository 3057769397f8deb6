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
    """Where it is, the model directory that it was made of, and how far its logits were said to be from torch's."""

    directory: Path
    source: Path
    apart: float


@pytest.fixture(scope="session")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    import torch

    from nlpmtl.artifact import export_onnx, load_model

    root = tmp_path_factory.mktemp("exported")
    model, tokenizer = load_model(str(trained.model_dir))
    with torch.no_grad():
        model.head("places").get_submodule("out").get_parameter("bias")[0] -= 10  # of O: it finds entities everywhere
    for one in (model, tokenizer):
        one.save_pretrained(root / "source")
    apart = export_onnx(model, tokenizer, directory=root / "onnx")
    return Exported(root / "onnx", root / "source", apart)

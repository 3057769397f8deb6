"""Choice of torch or onnxruntime, and their options."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import torch

from nlpmtl import ConfigError, ModelError, MultiTaskModel, Predictor
from nlpmtl.export.onnx_model import OnnxModel
from tests.exported import Exported
from tests.tiny import numbers


def test_the_backend_follows_from_the_files(exported: Exported, tmp_path: Path) -> None:
    assert isinstance(Predictor.from_pretrained(exported.directory).model, OnnxModel)
    assert isinstance(Predictor.from_pretrained(exported.source).model, MultiTaskModel)
    both = shutil.copytree(exported.source, tmp_path / "both")
    shutil.copy(exported.directory / "model.onnx", both)
    assert isinstance(Predictor.from_pretrained(both).model, MultiTaskModel)
    assert isinstance(Predictor.from_pretrained(both, backend="onnx").model, OnnxModel)
    assert isinstance(Predictor.from_pretrained(both, backend="torch").model, MultiTaskModel)


def test_a_missing_backend_is_an_error(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        Predictor.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"it has no file model\.onnx"):
        Predictor.from_pretrained(exported.source, backend="onnx")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Predictor.from_pretrained(exported.directory, backend="torch")


def test_unsupported_options_of_a_graph(exported: Exported) -> None:
    unknown: Any = "onyx"
    with pytest.raises(ConfigError, match="unknown backend 'onyx'; did you mean 'onnx'"):
        Predictor.from_pretrained(exported.directory, backend=unknown)
    with pytest.raises(ConfigError, match=r"found torch\.bfloat16, but an ONNX graph"):
        Predictor.from_pretrained(exported.directory, dtype=torch.bfloat16)
    assert Predictor.from_pretrained(exported.directory, device=torch.device("cpu")).predict("a", task="topic")


@pytest.mark.slow
def test_the_command_line_predicts_with_a_graph(exported: Exported) -> None:
    """In a process without the packages that export graphs."""
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxscript'] = None\n"
        "import nlpmtl.inference.predictor; assert 'onnxruntime' not in sys.modules\n"
        "from nlpmtl.cli import main; main()"
    )
    arguments = ["predict", str(exported.directory), "Ada lives in Turin."]
    result = run([sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    predictions = json.loads(result.stdout)["predictions"]
    expected = Predictor.from_pretrained(exported.source).predict_all("Ada lives in Turin.")
    assert numbers(predictions) == pytest.approx(numbers(expected), abs=1e-5)


def test_a_precision_by_its_name(exported: Exported) -> None:
    text = "Ada lives in Turin."
    expected = numbers(Predictor.from_pretrained(exported.source).predict_all(text))
    for name, near in (("fp32", 0.0), ("bf16", 0.05), ("int8", 0.05)):
        precision: Any = name
        scores = numbers(Predictor.from_pretrained(exported.source, dtype=precision).predict_all(text))
        assert scores == pytest.approx(expected, abs=near)
        assert (scores == expected) is (name == "fp32"), name


@pytest.mark.parametrize("saved", [torch.float64, torch.bfloat16])
def test_int8_of_weights_in_another_precision(exported: Exported, saved: torch.dtype, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(exported.source, dtype=saved)
    assert isinstance(predictor.model, MultiTaskModel)
    predictor.model.save_pretrained(tmp_path)
    predictor.tokenizer.save_pretrained(tmp_path)
    loaded = Predictor.from_pretrained(tmp_path).model
    assert isinstance(loaded, MultiTaskModel)
    assert loaded.dtype == saved
    text = "Ada lives in Turin."
    scores = numbers(Predictor.from_pretrained(tmp_path, dtype="int8").predict_all(text))
    assert scores == pytest.approx(numbers(predictor.predict_all(text)), abs=0.05)


def test_an_unsupported_precision(exported: Exported, tmp_path: Path) -> None:
    unknown: Any = "int4"
    with pytest.raises(ConfigError, match="unknown precision 'int4'; did you mean 'int8'"):
        Predictor.from_pretrained(exported.source, dtype=unknown)
    with pytest.raises(ConfigError, match="computes on a CPU only, found device 'cuda'"):
        Predictor.from_pretrained(exported.source, dtype="int8", device="cuda")
    with pytest.raises(ConfigError, match="found int8, but an ONNX graph"):
        Predictor.from_pretrained(exported.directory, dtype="int8")
    with pytest.raises(ModelError, match="load it again without a dtype"):
        Predictor.from_pretrained(exported.source, dtype="int8").export(tmp_path / "out", task="topic")
    assert not (tmp_path / "out").exists()

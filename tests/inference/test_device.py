"""Devices and precisions of predictions and commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import nlpmtl
from nlpmtl import ConfigError, MultiTaskModel, Predictor
from nlpmtl.cli import app
from tests.tiny import Trained

GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")


def test_auto_is_the_cpu_without_a_gpu() -> None:
    from nlpmtl.inference.device import choose_device

    expected = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    assert choose_device("auto") == choose_device(None) == expected
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")


@GPU
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", torch.device("cuda"), "mps", "xpu", "meta"])
def test_an_unavailable_device_is_refused_before_anything_is_loaded(device: Any, tmp_path: Path) -> None:
    message = "is not available: torch finds no accelerator"
    with pytest.raises(ConfigError, match=f"device: '{device}' {message}"):
        Predictor.from_pretrained(tmp_path / "no-such-model", device=device)
    with pytest.raises(ConfigError, match=f"device: '{device}' {message}"):
        nlpmtl.evaluate(tmp_path / "no-such-model", tmp_path / "no-such.toml", device=device)


@pytest.mark.parametrize(
    "device", ["gpu", "tpu", "CUDA", "cuda:x", "cuda:-1", "", "cuda:", "cpu cuda", 0, -1, ["cuda"], 1.5]
)
def test_invalid_device_names(device: Any) -> None:
    from nlpmtl.inference.device import check_device

    with pytest.raises(ConfigError, match="device: "):
        check_device(device)
    with pytest.raises(ConfigError, match="did you mean 'cuda'"):
        check_device("cud")
    for name in ("gpu", "GPU", "gpu:1"):
        with pytest.raises(ConfigError, match=f'unknown device \'{name}\'; write "cuda", or "cuda:1" for the second'):
            check_device(name)


@pytest.mark.parametrize("dtype", ["fp8", torch.int64, torch.float8_e4m3fn, 16, "float32"])
def test_invalid_precision_names(trained: Trained, dtype: Any) -> None:
    with pytest.raises(ConfigError, match="dtype: "):
        Predictor.from_pretrained(trained.model_dir, dtype=dtype)


def test_auto_never_changes_the_precision(trained: Trained) -> None:
    from nlpmtl.inference.device import choose_device

    predictor = Predictor.from_pretrained(trained.model_dir)
    assert isinstance(predictor.model, MultiTaskModel)
    assert predictor.model.dtype == torch.float32
    assert predictor.model.device == choose_device("auto")


def test_int8_computes_on_the_cpu(trained: Trained) -> None:
    from nlpmtl.inference.device import check_device

    assert Predictor.from_pretrained(trained.model_dir, dtype="int8").model.device.type == "cpu"
    with pytest.raises(ConfigError, match="computes on a CPU only, found device 'cuda:1'"):
        check_device("cuda:1", dtype="int8")


@GPU
@pytest.mark.parametrize(
    "command",
    [
        ("predict", "a/model", "text"),
        ("evaluate", "a/model", "--data", "quickstart"),
        ("serve", "a/model", "--port", "0"),
        ("submit", "a/model", "--output", "out.zip"),
        ("export", "a/model", "--output", "out"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_computes_takes_a_device(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--device", "cuda", "--dtype", "fp32"])
    assert (result.exit_code, result.stderr.startswith("error: device: 'cuda' is not available")) == (2, True)


def test_predictions_on_a_named_device(trained: Trained) -> None:
    arguments = ["predict", str(trained.model_dir), "a cat", "--device", "cpu", "--dtype", "bf16"]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stderr) == (0, "")

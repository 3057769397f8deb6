"""Environment variables of launchers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlpmtl.errors import ConfigError
from nlpmtl.training.accelerator import accelerator_context

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
RENDEZVOUS = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29501"}
FIRST_OF_TWO = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", **RENDEZVOUS}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*NAMES, *(name for name in os.environ if name.startswith("ACCELERATE_"))]:
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "1"}, r"RANK = '1' in the environment, but LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT are not"),
        ({"LOCAL_RANK": "0"}, r"LOCAL_RANK = '0' in the environment, but RANK, WORLD_SIZE,"),
        ({"LOCAL_RANK": "3"}, r"LOCAL_RANK = '3'"),
        ({"WORLD_SIZE": "2"}, r"WORLD_SIZE = '2' in the environment, but RANK, LOCAL_RANK,"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, r"RANK = '0', WORLD_SIZE = '2' in the environment, but LOCAL_RANK,"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, r"but MASTER_ADDR, MASTER_PORT are not set"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_PORT": "1"}, r"but MASTER_ADDR is not set"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0", **RENDEZVOUS}, r"RANK = '2', WORLD_SIZE = 2"),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "1", **RENDEZVOUS}, r"LOCAL_RANK = '1', WORLD_SIZE = 1"),
        ({"RANK": "one"}, r"RANK = 'one': expected an integer ≥ 0"),
        ({"RANK": ""}, r"RANK = '': expected an integer"),
        ({"RANK": "-1"}, r"RANK = '-1': expected an integer"),
        ({"WORLD_SIZE": "0"}, r"WORLD_SIZE = '0': expected an integer ≥ 1"),
        ({"WORLD_SIZE": "2.0"}, r"WORLD_SIZE = '2.0': expected an integer"),
        ({"LOCAL_RANK": "None"}, r"LOCAL_RANK = 'None': expected an integer"),
        (
            {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
            r"OMPI_COMM_WORLD_SIZE = '2' .* MASTER_ADDR is not",
        ),
        ({"PMI_SIZE": "2", "PMI_RANK": "0"}, r"PMI_SIZE = '2' in the environment, but MASTER_ADDR is not set"),
        ({"PMI_SIZE": "2", "MASTER_ADDR": "localhost"}, r"PMI_SIZE = '2' in the environment, but PMI_RANK is not set"),
        ({"MV2_COMM_WORLD_SIZE": "two"}, r"MV2_COMM_WORLD_SIZE = 'two': expected an integer ≥ 1"),
        ({"PMI_RANK": ""}, r"PMI_RANK = '': expected an integer ≥ 0"),
        ({"TORCHELASTIC_RESTART_COUNT": "x"}, r"TORCHELASTIC_RESTART_COUNT = 'x': expected an integer"),
        (
            {**FIRST_OF_TWO, "MASTER_PORT": "http"},
            r"MASTER_PORT = 'http'",
        ),
        ({**FIRST_OF_TWO, "MASTER_PORT": "99999"}, r"at most 65535"),
    ],
)
def test_inconsistent_launcher_variables_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    set_variables(monkeypatch, variables)
    with (
        pytest.raises(ConfigError, match=message) as caught,
        accelerator_context(directory=tmp_path, precision="fp32", trackers=()),
    ):
        pass
    assert "unset it" in str(caught.value)
    assert "torchrun" in str(caught.value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": "1"},
        {"RANK": "0"},
        {"RANK": "0", "WORLD_SIZE": "1", **RENDEZVOUS},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", **RENDEZVOUS},
        {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", **RENDEZVOUS, "TORCHELASTIC_RESTART_COUNT": "0"},
        {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", **RENDEZVOUS},
        {"WORLD_SIZE": "4", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", **RENDEZVOUS},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    ],
)
def test_variables_of_a_launcher_are_accepted(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    from nlpmtl.training.launch import check_launch

    set_variables(monkeypatch, variables)
    check_launch()


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "parallelism_config"),
    ],
)
@pytest.mark.parametrize("value", ["true", "True", "1", "yes"])
def test_frameworks_that_are_not_supported_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, framework: str, value: str, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    with (
        pytest.raises(ConfigError, match=rf"{name} = '{value}': .*{framework}.* is not supported"),
        accelerator_context(directory=tmp_path, precision="fp32", trackers=()),
    ):
        pass
    from nlpmtl.training.launch import check_launch

    monkeypatch.setenv(name, "false")
    check_launch()


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("ACCELERATE_MIXED_PRECISION", "fp16", "train.precision"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", "train.precision"),
        ("ACCELERATE_MIXED_PRECISION", "nonsense", "train.precision"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "train.batch_size"),
        ("ACCELERATE_GRADIENT_CLIPPING", "0.5", "train.max_grad_norm"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "compilation"),
        ("ACCELERATE_DYNAMO_BACKEND", "nonsense", "compilation"),
    ],
)
def test_settings_that_a_run_ignores_are_noted_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, instead: str, tmp_path: Path
) -> None:
    from nlpmtl.training.launch import ignored_settings

    monkeypatch.setenv(name, value)
    (note,) = ignored_settings()
    assert note.startswith(f"{name} = {value} is ignored: ")
    assert instead in note
    with accelerator_context(directory=tmp_path, precision="fp32", trackers=()) as accelerator:
        assert accelerator.mixed_precision == "no"
        assert accelerator.gradient_accumulation_steps == 1, "`backward` would divide the loss by it"
    assert os.environ[name] == value


def test_variables_without_effect_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpmtl.training.launch import ignored_settings

    set_variables(
        monkeypatch,
        {
            "ACCELERATE_MIXED_PRECISION": "no",
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
            "ACCELERATE_DYNAMO_BACKEND": "NO",
            "ACCELERATE_USE_FSDP": "true",
            "ACCELERATE_USE_CPU": "true",
        },
    )
    assert list(ignored_settings()) == []


@pytest.mark.parametrize("device", ["meta", "cuda:99", "gpu", "cpu:x"])
def test_a_device_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, device: str, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", device)
    with (
        pytest.raises(ConfigError, match=rf"ACCELERATE_TORCH_DEVICE = '{device}': the device cannot be used .*Unset"),
        accelerator_context(directory=tmp_path, precision="fp32", trackers=()),
    ):
        pass
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu")
    with accelerator_context(directory=tmp_path, precision="fp32", trackers=()) as accelerator:
        assert accelerator.device.type == "cpu"


@pytest.mark.slow
def test_a_stray_rank_is_an_error_of_the_command(tmp_path: Path) -> None:
    run = tmp_path / "run.toml"
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": "b"}\n')
    run.write_text(
        'output = "out"\nencoder.name = "none"\n[datasets.x]\ndata = { files = { train = "x.jsonl" } }\n'
        'input = { text = "text" }\ntasks.t = { kind = "classification", label = "label" }\n'
    )
    result = subprocess.run(
        [sys.executable, "-m", "nlpmtl", "train", str(run)],
        env={**os.environ, "RANK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "error: RANK = '1' in the environment, but" in result.stderr

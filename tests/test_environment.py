"""Environment variables that Accelerate and the clients of the Hub parse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nlpmtl
from nlpmtl.environment import (
    FALSE,
    FLAGS,
    FSDP_CHOICES,
    FSDP_FLAGS,
    HUB_NUMBERS,
    MPI_RANKS,
    TRUE,
    check_environment,
    has_several_processes,
    is_main_process,
)
from nlpmtl.errors import ConfigError

NUMBERS = ["LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", "FSDP_VERSION"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*FLAGS, *FSDP_FLAGS, *FSDP_CHOICES, *NUMBERS, *HUB_NUMBERS, "WORLD_SIZE", "RANK", "LOCAL_RANK"]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("size", "rank"), MPI_RANKS.items())
def test_the_ranks_of_mpirun(size: str, rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerate reads these variables instead of those of torchrun."""
    monkeypatch.setenv(rank, "1")
    monkeypatch.setenv(size, "1")
    assert (has_several_processes(), is_main_process()) == (False, True)
    monkeypatch.setenv(size, "2")
    assert (has_several_processes(), is_main_process()) == (True, False)
    monkeypatch.setenv(rank, "0")
    assert (has_several_processes(), is_main_process()) == (True, True)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["yes please", "maybe", "", "2", " true"])
def test_an_invalid_flag_is_refused_with_the_valid_values(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match=rf"^{name} = '{value}' in the environment: a flag .* true \(1, true, yes, on"
    ):
        nlpmtl.train({})


def test_the_valid_flags_are_those_of_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import str_to_bool
    from accelerate.utils.constants import FSDP_AUTO_WRAP_POLICY, FSDP_BACKWARD_PREFETCH, FSDP_STATE_DICT_TYPE

    assert all(str_to_bool(value) == 1 for value in TRUE)
    assert all(str_to_bool(value) == 0 for value in FALSE)
    constants = (FSDP_AUTO_WRAP_POLICY, FSDP_BACKWARD_PREFETCH, FSDP_STATE_DICT_TYPE)
    assert [set(choices) for choices in FSDP_CHOICES.values()] == [set(choices) for choices in constants]
    for value in ("TRUE", "f", "0"):
        for name in FLAGS:
            monkeypatch.setenv(name, value)
        check_environment()


def test_settings_of_fsdp_are_checked_if_it_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {**dict.fromkeys(FSDP_FLAGS, "maybe"), **dict.fromkeys(FSDP_CHOICES, "x"), "FSDP_VERSION": "two"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    check_environment()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "yes")
    with pytest.raises(ConfigError) as caught:
        check_environment()
    assert {line.partition(" = ")[0] for line in str(caught.value).splitlines()} == names.keys()


def test_numbers_are_checked_if_there_are_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "x")
    check_environment()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"LOCAL_WORLD_SIZE = 'x' in the environment: a whole number was expected"):
        check_environment()


def test_fsdp_without_its_version_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpmtl.training import fsdp

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"set FSDP_VERSION=2 .*found no FSDP_VERSION, which means 1"):
        fsdp.is_requested()
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(ConfigError, match=r"set FSDP_VERSION=2 .*found FSDP_VERSION = '1'"):
        fsdp.is_requested()


def test_numbers_of_the_clients_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "30")
    monkeypatch.setenv("HF_DATASETS_IN_MEMORY_MAX_SIZE", "1.5e9")
    check_environment()
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "2.5")
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "")
    monkeypatch.setenv("HF_DATASETS_IN_MEMORY_MAX_SIZE", "1GB")
    with pytest.raises(ConfigError) as caught:
        check_environment()
    assert str(caught.value).splitlines() == [
        "HF_DATASETS_IN_MEMORY_MAX_SIZE = '1GB' in the environment: a number was expected, such as "
        "HF_DATASETS_IN_MEMORY_MAX_SIZE=2; or unset it",
        "HF_HUB_DOWNLOAD_TIMEOUT = '2.5' in the environment: a whole number was expected, such as "
        "HF_HUB_DOWNLOAD_TIMEOUT=2; or unset it",
        "HF_HUB_ETAG_TIMEOUT = '' in the environment: a whole number was expected, such as HF_HUB_ETAG_TIMEOUT=2; or "
        "unset it",
    ]


@pytest.mark.parametrize("name", HUB_NUMBERS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "nlpmtl", "predict", "no/model", "a text"],
        pytest.param(["-m", "nlpmtl", "check", "quickstart"], marks=pytest.mark.slow),
        ["-c", "import nlpmtl; nlpmtl.Predictor"],
    ],
)
def test_numbers_are_checked_before_the_clients_are_imported(name: str, arguments: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, name: "abc"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == (2 if "-m" in arguments else 1)
    line = result.stderr.splitlines()[-1]
    assert line.partition(": ")[2].startswith(f"{name} = 'abc' in the environment: a "), result.stderr
    assert "-c" in arguments or line == result.stderr.strip()


@pytest.mark.parametrize("name", ["USE_TORCH_XLA", "ACCELERATE_DEBUG_MODE"])
def test_flags_that_are_parsed_when_accelerate_is_imported(name: str, tmp_path: Path) -> None:
    program = (
        "import sys\nimport nlpmtl\ntry:\n    nlpmtl.train\n    nlpmtl.train({})\nexcept nlpmtl.ConfigError as error:\n"
        "    print(error, 'torch' in sys.modules)"
    )
    environment = {**os.environ, name: "maybe"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.stdout.startswith(f"{name} = 'maybe' in the environment"), result.stderr
    assert result.stdout.endswith(" False\n"), "the error comes before torch is imported"

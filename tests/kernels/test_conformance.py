"""Conformance checks of kernels, and their cache."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from nlpmtl.kernels import conformance, fallback_note, fast_dropout, int8, packed_attention, packing, select_kernels
from nlpmtl.kernels.conformance import Kernel, check_kernel
from tests.architectures import write_architecture

CPU = torch.device("cpu")
KERNELS: tuple[Kernel, ...] = ("fast_dropout", "packed_attention")


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of passed checks in a new cache directory."""
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels.json"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return make_encoder("bert", tmp_path_factory.mktemp("encoder"))


def make_encoder(name: str, directory: Path) -> PreTrainedModel:
    encoder = AutoModel.from_pretrained(write_architecture(name, directory))
    assert isinstance(encoder, PreTrainedModel)
    return encoder


def count_checks(monkeypatch: pytest.MonkeyPatch) -> list[Kernel]:
    """Return a list to which the name of each check is added when it runs."""
    ran: list[Kernel] = []
    for kernel, check in list(conformance._CHECKS.items()):

        def counted(*args: Any, kernel: Kernel = kernel, check: Any = check) -> None:
            ran.append(kernel)
            check(*args)

        monkeypatch.setitem(conformance._CHECKS, kernel, counted)
    return ran


@pytest.mark.parametrize("name", packing.ARCHITECTURES)
def test_packed_attention_conforms_on_every_architecture(name: str, tmp_path: Path) -> None:
    assert check_kernel("packed_attention", device=CPU, encoder=make_encoder(name, tmp_path / name)) is None


@pytest.mark.parametrize("kernel", ["fast_dropout", "int8"])
def test_kernels_without_an_encoder_conform(kernel: Kernel) -> None:
    assert check_kernel(kernel, device=CPU) is None


def test_a_check_leaves_random_state_and_settings_unchanged(encoder: PreTrainedModel) -> None:
    torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        selection = select_kernels(KERNELS, encoder=encoder, device=CPU)
        assert not torch.is_grad_enabled()
    assert selection.kernels == set(KERNELS)
    assert selection.notes == ()
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()
    assert numpy_state == str(np.random.get_state())
    assert all(torch.equal(weights[name], value) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not packing.is_packing(encoder)


def test_a_check_that_passed_does_not_run_again(
    results: Path, encoder: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = count_checks(monkeypatch)
    for _ in range(2):
        for kernel in KERNELS:
            assert check_kernel(kernel, device=CPU, encoder=encoder) is None
    assert ran == list(KERNELS)
    content = json.loads(results.read_text(encoding="utf-8"))
    assert content["format_version"] == 1
    assert [key.partition(":")[0] for key in content["passed"]] == list(KERNELS)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_another_version_is_checked_again(
    package: str, encoder: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = count_checks(monkeypatch)
    check_kernel("packed_attention", device=CPU, encoder=encoder)
    monkeypatch.setattr(getattr(conformance, package), "__version__", "99.0")
    check_kernel("packed_attention", device=CPU, encoder=encoder)
    assert ran == ["packed_attention"] * 2


def test_another_architecture_is_checked_again(
    encoder: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = count_checks(monkeypatch)
    for checked in (encoder, make_encoder("electra", tmp_path / "electra")):
        check_kernel("packed_attention", device=CPU, encoder=checked)
    assert ran == ["packed_attention"] * 2


def attend_to_padding(*args: Any) -> None:
    """Mask no attention scores."""


def keep_everything(like: Tensor, p: float) -> Tensor:
    return torch.ones_like(like)


def drop_every_second_lane(like: Tensor, p: float) -> Tensor:
    factors = torch.zeros_like(like).flatten()
    factors[::4] = 1 / (1 - p)
    return factors.view_as(like)


def removed_operator(*args: Any, **kwargs: Any) -> Tensor:
    raise AttributeError("'_OpNamespace' 'aten' object has no attribute '_softmax_backward_data'")


@pytest.mark.parametrize(
    ("kernel", "module", "name", "broken", "reason"),
    [
        ("packed_attention", packed_attention, "_mask_scores", attend_to_padding, "hidden states differ by "),
        ("packed_attention", packed_attention, "attend", removed_operator, "AttributeError: '_OpNamespace' 'aten'"),
        ("fast_dropout", fast_dropout, "dropout_mask", keep_everything, "fast dropout multiplies by factors other"),
        ("fast_dropout", fast_dropout, "dropout_mask", drop_every_second_lane, "fast dropout with p = 0.25 drops"),
        ("int8", int8, "_LARGEST", 2, "outputs differ by "),
    ],
)
def test_a_broken_kernel_is_detected_each_time_and_not_remembered(
    kernel: Kernel,
    module: Any,
    name: str,
    broken: Any,
    reason: str,
    encoder: PreTrainedModel,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, name, broken)
    for _ in range(2):
        result = check_kernel(kernel, device=CPU, encoder=encoder)
        assert result is not None
        assert result.startswith(reason)
    assert not results.exists()


def test_a_failed_kernel_is_replaced_with_a_message(encoder: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_attention, "_mask_scores", attend_to_padding)
    selection = select_kernels(KERNELS, encoder=encoder, device=CPU)
    assert selection.kernels == {"fast_dropout"}
    (note,) = selection.notes
    assert note.startswith(
        f"kernels: packed_attention fails its check with torch {torch.__version__} and transformers "
    )
    assert note.endswith("so plain PyTorch is used instead")


def test_a_kernel_that_fails_on_another_rank_is_not_used(encoder: PreTrainedModel) -> None:
    selection = select_kernels(KERNELS, encoder=encoder, device=CPU, all_reduce_max=lambda failed: [0, 1])
    assert selection.kernels == {"fast_dropout"}
    assert selection.notes == (fallback_note("packed_attention", "the check failed in another process"),)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"passed": 3}', '{"passed": [1, null]}', "\0"])
def test_a_damaged_file_of_results_is_replaced(content: str, results: Path, encoder: PreTrainedModel) -> None:
    results.parent.mkdir()
    results.write_text(content, encoding="utf-8")
    assert check_kernel("packed_attention", device=CPU, encoder=encoder) is None
    assert len(json.loads(results.read_text(encoding="utf-8"))["passed"]) == 1


def test_without_a_writable_cache_directory_the_check_is_repeated(
    tmp_path: Path, encoder: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "file" / "cache"))
    ran = count_checks(monkeypatch)
    for _ in range(2):
        assert check_kernel("packed_attention", device=CPU, encoder=encoder) is None
    assert ran == ["packed_attention"] * 2
    monkeypatch.setattr(conformance, "cache_directory", lambda: None)
    assert check_kernel("packed_attention", device=CPU, encoder=encoder) is None


def test_results_are_limited(results: Path, encoder: PreTrainedModel) -> None:
    results.parent.mkdir()
    known = [f"old {i}" for i in range(500)]
    results.write_text(json.dumps({"format_version": 1, "passed": known}), encoding="utf-8")
    check_kernel("packed_attention", device=CPU, encoder=encoder)
    passed = json.loads(results.read_text(encoding="utf-8"))["passed"]
    assert passed[:-1] == known[-199:]
    assert passed[-1].endswith(type(encoder).__name__)

"""What a predictor needs of a model, and which of the two kinds a directory holds: for torch, or for onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import Batch
from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.export.onnx_model import load_onnx
from nlpmtl.heads import Outputs
from nlpmtl.hub.model_directory import load_model
from nlpmtl.hub.model_files import GRAPH
from nlpmtl.inference.device import AUTO, check_device, choose_device
from nlpmtl.kernels import KernelSwitch, check_kernel, fallback_note, to_int8
from nlpmtl.tasks import Task

BackendName = Literal["torch", "onnx"]
Precision = Literal["fp32", "bf16", "int8"]
"""In what a model computes: single precision, bfloat16, or the encoder's products in eight bits, on a CPU."""
_LOG = logging.getLogger(__name__)
_TYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Backend(Protocol):
    """A model that is ready to predict."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Its tasks by name."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def config(self) -> Any:
        """Of which ``input_length``, the longest input in tokens, is read."""

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor | Outputs]:
        """Logits of the rows that each task is asked about, as `MultiTaskModel.forward` gives them."""


def load_backend(
    name: str,
    *,
    backend: BackendName | None,
    device: str | torch.device | None,
    dtype: torch.dtype | Precision | None,
    kernels: KernelSwitch = "auto",
) -> tuple[Backend, PreTrainedTokenizerBase]:
    """A model and its tokenizer; arguments as in `Predictor.from_pretrained`.

    Raises:
        ConfigError: there is no such backend, or it lacks that device or precision, or onnxruntime is not installed.
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    known = get_args(BackendName)
    if backend is not None and backend not in known:
        raise ConfigError(f"there is no backend {backend!r}; {did_you_mean(str(backend), known)}")
    check_device(device, dtype=dtype)
    if isinstance(dtype, str) and dtype not in get_args(Precision):
        raise ConfigError(f"dtype: there is no precision {dtype!r}; {did_you_mean(dtype, get_args(Precision))}")
    if not (dtype is None or isinstance(dtype, str) or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)):
        raise ConfigError(f'dtype: "fp32", "bf16", "int8" or a floating dtype of torch was expected, found {dtype!r}')
    if kernels not in get_args(KernelSwitch):
        raise ConfigError(f'kernels: "auto" or "off" was expected, found {kernels!r}')
    if (backend or _held(Path(name))) == "onnx":
        if dtype is not None:
            raise ConfigError(f"dtype: a graph computes in the precision that it was written in, not in {dtype}")
        return load_onnx(name, device=AUTO if device is None else str(device))
    chosen = torch.device("cpu") if dtype == "int8" else choose_device(device)
    model, tokenizer = load_model(name)
    module: nn.Module = model  # whose `to` has types
    if dtype == "int8" and _conforms(kernels):
        to_int8(model.sharing)  # the heads are small, and where the answers are made
    else:
        module.to(device=chosen, dtype=_TYPES.get(dtype) if isinstance(dtype, str) else dtype)
    return model, tokenizer


def _held(directory: Path) -> BackendName:
    """For torch wherever weights for it may be: beside a graph too, and on the Hub."""
    return "onnx" if (directory / GRAPH).is_file() and not any(directory.glob("*.safetensors")) else "torch"


def _conforms(kernels: KernelSwitch) -> bool:
    """Return whether int8 can be used; if its check fails, log why single precision is used instead."""
    reason = check_kernel("int8", device=torch.device("cpu")) if kernels == "auto" else None
    if reason is not None:
        _LOG.warning(fallback_note("int8", reason))
    return reason is None

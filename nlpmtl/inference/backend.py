"""Backends of a predictor: a model in PyTorch, or an ONNX graph in ONNX Runtime."""

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
"""Compute precision: single precision, bfloat16, or single precision with int8 matmuls in the encoder (CPU only)."""
_LOG = logging.getLogger(__name__)
_TYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Backend(Protocol):
    """A loaded model that computes logits."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks by name."""

    @property
    def device(self) -> torch.device:
        """The device that computes."""

    @property
    def config(self) -> Any:
        """The config, with ``input_length``: the maximum length of an input in tokens."""

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor | Outputs]:
        """Return the logits of some rows of a batch for each task, as `MultiTaskModel.forward` does.

        Args:
            batch: the tokenized inputs.
            rows: task → indices of its rows in the batch, ``[rows]``.
        """

    def reads_words(self, task: str) -> bool:
        """Return whether the head of a task may read the positions of words."""


def load_backend(
    name: str,
    *,
    backend: BackendName | None,
    device: str | torch.device | None,
    dtype: torch.dtype | Precision | None,
    kernels: KernelSwitch = "auto",
) -> tuple[Backend, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer; the arguments are those of `Predictor.from_pretrained`.

    Raises:
        ConfigError: the backend, device or precision is unknown or not available.
        ModelError: the model does not exist, is invalid, or was not written by nlpmtl.
    """
    known = get_args(BackendName)
    if backend is not None and backend not in known:
        raise ConfigError(f"unknown backend {backend!r}; {did_you_mean(str(backend), known)}")
    check_device(device, dtype=dtype)
    if isinstance(dtype, str) and dtype not in get_args(Precision):
        raise ConfigError(f"dtype: unknown precision {dtype!r}; {did_you_mean(dtype, get_args(Precision))}")
    is_computed = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    if not (dtype is None or isinstance(dtype, str) or is_computed):
        raise ConfigError(
            f'dtype: "fp32", "bf16", "int8" or a floating dtype of torch with 16 bits or more was expected, found '
            f"{dtype!r}"
        )
    if kernels not in get_args(KernelSwitch):
        raise ConfigError(f'kernels: "auto" or "off" was expected, found {kernels!r}')
    if (backend or _default_backend(Path(name))) == "onnx":
        if dtype is not None:
            raise ConfigError(f"dtype: found {dtype}, but an ONNX graph has the precision of its export: omit it")
        return load_onnx(name, device=AUTO if device is None else str(device))
    chosen = torch.device("cpu") if dtype == "int8" else choose_device(device)
    model, tokenizer = load_model(name)
    module: nn.Module = model  # `nn.Module.to` is typed
    if dtype == "int8":
        module.float()  # the heads stay in single precision: they are small, and compute the predictions
        if _conforms(kernels):
            to_int8(model.sharing)
    else:
        module.to(device=chosen, dtype=_TYPES.get(dtype) if isinstance(dtype, str) else dtype)
    return model, tokenizer


def _default_backend(directory: Path) -> BackendName:
    """Return "onnx" if a directory holds a graph and no weights; a model on the Hub is loaded with torch."""
    return "onnx" if (directory / GRAPH).is_file() and not any(directory.glob("*.safetensors")) else "torch"


def _conforms(kernels: KernelSwitch) -> bool:
    """Return whether int8 can be used; if its check fails, log why single precision is used instead."""
    reason = check_kernel("int8", device=torch.device("cpu")) if kernels == "auto" else None
    if reason is not None:
        _LOG.warning(fallback_note("int8", reason))
    return reason is None

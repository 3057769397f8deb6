"""Devices for inference: parse and check the `device` argument, and choose one for "auto"."""

from __future__ import annotations

import torch

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.export.onnx_model import onnx_has_cuda

AUTO = "auto"
_KNOWN = (AUTO, "cpu", "cuda", "cuda:0", "mps")


def check_device(device: str | torch.device | None, *, dtype: object = None) -> None:
    """Check a device before anything is loaded.

    Args:
        device: the device; None is "auto".
        dtype: the precision; "int8" computes on a CPU only.

    Raises:
        ConfigError: the device is unknown, or neither torch nor onnxruntime can compute on it here.
    """
    parsed = _parse(device)
    if parsed is None:
        return
    if dtype == "int8" and parsed.type != "cpu":
        raise ConfigError(f'dtype: "int8" computes on a CPU only, found device {str(device)!r}; use "bf16" there')
    if not (parsed.type == "cuda" and not torch.cuda.is_available() and onnx_has_cuda()):
        _check_available(parsed)


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return the device for torch; "auto" is the accelerator if there is one, else the CPU.

    Raises:
        ConfigError: the device is unknown or not available.
    """
    parsed = _parse(device)
    if parsed is None:
        return _accelerator() or torch.device("cpu")
    _check_available(parsed)
    return parsed


def _accelerator() -> torch.device | None:
    """Return the accelerator that torch can use; None without one."""
    if not torch.accelerator.is_available():
        return None
    return torch.accelerator.current_accelerator(check_available=True)


def _parse(device: str | torch.device | None) -> torch.device | None:
    """Return the device; None for "auto"."""
    if device is None or device == AUTO:
        return None
    if not isinstance(device, str | torch.device):
        raise ConfigError(
            f'device: "auto", "cpu", "cuda" or "cuda:1" was expected, found {device!r} ({type(device).__name__})'
        )
    try:
        return torch.device(device)
    except RuntimeError:
        name = str(device)
        hint = 'write "cuda", or "cuda:1" for the second GPU' if "gpu" in name.lower() else did_you_mean(name, _KNOWN)
        raise ConfigError(f"device: unknown device {name!r}; {hint}") from None


def _check_available(device: torch.device) -> None:
    if device.type == "cpu":
        return
    accelerator = _accelerator()
    if accelerator is None or accelerator.type != device.type:
        available = "no accelerator" if accelerator is None else f"a device of type {accelerator.type!r}"
        built = " (this build of torch has no CUDA)" if device.type == "cuda" and torch.version.cuda is None else ""
        raise ConfigError(
            f'device: {str(device)!r} is not available: torch finds {available}{built}; write "auto" or "cpu"'
        )
    count = torch.accelerator.device_count()
    if (device.index or 0) >= count:
        raise ConfigError(f"device: {str(device)!r} is not available: torch finds {count}, numbered from 0")

"""Devices for inference: what "auto" chooses, and whether a device that is asked for exists."""

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
        dtype: the precision: "int8" computes on a CPU only.

    Raises:
        ConfigError: it is not the name of a device, or neither torch nor onnxruntime can compute on it here.
    """
    asked = _parse(device)
    if asked is None:
        return
    if dtype == "int8" and asked.type != "cpu":
        raise ConfigError(f'dtype: "int8" computes on a CPU, not on {str(device)!r}: there, "bf16" is the faster one')
    if not (asked.type == "cuda" and not torch.cuda.is_available() and onnx_has_cuda()):
        _check_available(asked)


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device for torch; "auto" is an accelerator that torch finds, or else the CPU.

    Raises:
        ConfigError: as `check_device`.
    """
    asked = _parse(device)
    if asked is not None:
        _check_available(asked)
        return asked
    found = torch.accelerator.current_accelerator(check_available=True) if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


def _parse(device: str | torch.device | None) -> torch.device | None:
    """The device that is named; None for "auto"."""
    if device is None or device == AUTO:
        return None
    if not isinstance(device, str | torch.device):
        raise ConfigError(
            f'device: "auto", "cpu", "cuda" or "cuda:1" was expected, found {device!r} ({type(device).__name__})'
        )
    try:
        return torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device: there is no device {str(device)!r}; {did_you_mean(str(device), _KNOWN)}") from None


def _check_available(device: torch.device) -> None:
    if device.type == "cpu":
        return
    found = torch.accelerator.current_accelerator(check_available=True) if torch.accelerator.is_available() else None
    if found is None or found.type != device.type:
        have = "no accelerator" if found is None else f"a device of type {found.type!r}"
        built = " (this build of torch has no CUDA)" if device.type == "cuda" and torch.version.cuda is None else ""
        raise ConfigError(f'device: {str(device)!r} is not available: torch finds {have}{built}; write "auto" or "cpu"')
    count = torch.accelerator.device_count()
    if (device.index or 0) >= count:
        raise ConfigError(f"device: {str(device)!r} is not available: torch finds {count}, numbered from 0")

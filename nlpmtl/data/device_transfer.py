"""Many small tensors to a device at once: each copy by itself would make the device and the process wait."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors on the CPU, of any shapes and types, on a device: in one copy for each type."""
    if device.type == "cpu":
        return list(tensors)
    moved: dict[int, Tensor] = {}
    for dtype in {tensor.dtype for tensor in tensors}:
        own = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].flatten() for i in own])
        pinned = flat.pin_memory() if device.type == "cuda" else flat
        pieces = pinned.to(device, non_blocking=True).split([tensors[i].numel() for i in own])
        moved |= {i: piece.view(tensors[i].shape) for i, piece in zip(own, pieces, strict=True)}
    return [moved[i] for i in range(len(tensors))]

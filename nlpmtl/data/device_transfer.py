"""Batched transfer of tensors to a device: one pinned copy per dtype instead of many small ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy CPU tensors of any shape and type to a device, in one copy per type."""
    if device.type == "cpu":
        return list(tensors)
    moved: dict[int, Tensor] = {}
    for dtype in {tensor.dtype for tensor in tensors}:
        indices = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].flatten() for i in indices])
        pinned = flat.pin_memory() if device.type == "cuda" else flat
        parts = pinned.to(device, non_blocking=True).split([tensors[i].numel() for i in indices])
        moved |= {i: part.view(tensors[i].shape) for i, part in zip(indices, parts, strict=True)}
    return [moved[i] for i in range(len(tensors))]

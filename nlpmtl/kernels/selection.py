"""Selection of kernels: those that a run can use, without those that fail their conformance check."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
import transformers
from transformers import PreTrainedModel

from nlpmtl.kernels.conformance import Kernel, check_kernel

KernelSwitch = Literal["auto", "off"]
_ORDER: tuple[Kernel, ...] = ("fast_dropout", "packed_attention", "cuda_graphs")


@dataclass(frozen=True)
class KernelSelection:
    """Kernels that a run uses.

    Args:
        kernels: names of the kernels.
        notes: a line for each kernel that was replaced by plain PyTorch.
    """

    kernels: frozenset[Kernel] = frozenset()
    notes: tuple[str, ...] = ()


def select_kernels(
    candidates: Collection[Kernel],
    *,
    encoder: PreTrainedModel,
    device: torch.device,
    all_reduce_max: Callable[[list[int]], list[int]] = list,
) -> KernelSelection:
    """Check kernels, and exclude those that don't compute what plain PyTorch does on this or any other rank.

    Args:
        candidates: kernels that suit the run; the same on all ranks. CUDA graphs need packed attention.
        encoder: encoder of the run.
        device: device of this rank.
        all_reduce_max: returns the maximum of each number over all ranks.
    """
    ordered = [kernel for kernel in _ORDER if kernel in candidates]
    reasons = [check_kernel(kernel, device=device, encoder=_checked_with(kernel, encoder)) for kernel in ordered]
    failed = all_reduce_max([int(reason is not None) for reason in reasons])
    kernels = {kernel for kernel, is_failed in zip(ordered, failed, strict=True) if not is_failed}
    if "packed_attention" not in kernels:
        kernels -= {"cuda_graphs"}
    notes = [
        fallback_note(kernel, reason or "the check failed in another process")
        for kernel, reason, is_failed in zip(ordered, reasons, failed, strict=True)
        if is_failed
    ]
    return KernelSelection(frozenset(kernels), tuple(notes))


def fallback_note(kernel: Kernel, reason: str) -> str:
    """Return the line that says why plain PyTorch replaces a kernel.

    Args:
        kernel: name of the kernel.
        reason: what `check_kernel` returned.
    """
    versions = f"torch {torch.__version__} and transformers {transformers.__version__}"
    return f"kernels: {kernel} fails its check with {versions} ({reason}), so plain PyTorch is used instead"


def _checked_with(kernel: Kernel, encoder: PreTrainedModel) -> PreTrainedModel | None:
    return None if kernel == "fast_dropout" else encoder

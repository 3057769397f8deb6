"""Kernels: accelerated code paths that replace parts of PyTorch and transformers, each checked against them.

`train.kernels` and the argument `kernels` of `Predictor.from_pretrained` turn them off.

Example:
    >>> import torch
    >>> from nlpmtl.kernels import FastDropout
    >>> torch.equal(FastDropout(0.5).eval()(torch.ones(3)), torch.ones(3))
    True
"""

from __future__ import annotations

from nlpmtl.kernels.conformance import Kernel, check_kernel
from nlpmtl.kernels.fast_dropout import FastDropout, enable_fast_dropout
from nlpmtl.kernels.int8 import Int8Linear, to_int8
from nlpmtl.kernels.malloc import release_freed_memory, tune_malloc
from nlpmtl.kernels.packing import enable_packing, supports_packing
from nlpmtl.kernels.selection import KernelSelection, KernelSwitch, fallback_note, select_kernels

__all__ = [
    "FastDropout",
    "Int8Linear",
    "Kernel",
    "KernelSelection",
    "KernelSwitch",
    "check_kernel",
    "enable_fast_dropout",
    "enable_packing",
    "fallback_note",
    "release_freed_memory",
    "select_kernels",
    "supports_packing",
    "to_int8",
    "tune_malloc",
]

"""Accelerated code paths: packed attention, CUDA graphs, fast dropout, int8 and memory allocation."""

from __future__ import annotations

from nlpmtl.kernels.fast_dropout import enable_fast_dropout
from nlpmtl.kernels.int8 import Int8Linear, to_int8
from nlpmtl.kernels.malloc import tune_malloc
from nlpmtl.kernels.packing import enable_packing, supports_packing

__all__ = ["Int8Linear", "enable_fast_dropout", "enable_packing", "supports_packing", "to_int8", "tune_malloc"]

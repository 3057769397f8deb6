"""Accelerated code paths: packed attention, CUDA graphs, fast dropout, int8 and memory allocation."""

from __future__ import annotations

from nlpmtl.kernels.fast_dropout import use_fast_dropout
from nlpmtl.kernels.int8 import Int8Linear, to_int8
from nlpmtl.kernels.malloc import tune_malloc
from nlpmtl.kernels.packing import can_pack, use_packing

__all__ = ["Int8Linear", "can_pack", "to_int8", "tune_malloc", "use_fast_dropout", "use_packing"]

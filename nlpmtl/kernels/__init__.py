"""Accelerated code paths: packed attention, CUDA graphs, fast dropout, int8 and memory allocation."""

from __future__ import annotations

from nlpmtl.kernels.fast_dropout import use_cheap_dropout
from nlpmtl.kernels.int8 import Int8Linear, to_int8
from nlpmtl.kernels.malloc import keep_freed_memory
from nlpmtl.kernels.packing import can_pack, use_packing

__all__ = ["Int8Linear", "can_pack", "keep_freed_memory", "to_int8", "use_cheap_dropout", "use_packing"]

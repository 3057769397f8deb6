"""Sharing schemes, one file each.

SHARINGS.build(options, Sharing, encoder=encoder, tasks=("topic", "sentiment"))
"""

from __future__ import annotations

from nlpmtl.model.sharing.adapters import Adapters
from nlpmtl.model.sharing.base import Matrix, Sharing, SharingOptions
from nlpmtl.model.sharing.cross_stitch import CrossStitch
from nlpmtl.model.sharing.hard import Hard
from nlpmtl.model.sharing.layers import Layers
from nlpmtl.model.sharing.lora import Lora
from nlpmtl.model.sharing.soft_l2 import SoftL2

__all__ = ["Adapters", "CrossStitch", "Hard", "Layers", "Lora", "Matrix", "Sharing", "SharingOptions", "SoftL2"]

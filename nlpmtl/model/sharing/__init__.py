"""Sharing schemes, one file each.

SHARINGS.build(options, Sharing, encoder=encoder, tasks=("topic", "sentiment"))
"""

from __future__ import annotations

from nlpmtl.model.sharing.base import Matrix, Sharing, SharingOptions
from nlpmtl.model.sharing.hard import Hard
from nlpmtl.model.sharing.layers import Layers

__all__ = ["Hard", "Layers", "Matrix", "Sharing", "SharingOptions"]

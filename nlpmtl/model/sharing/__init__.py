"""Sharing schemes, one file each.

SHARINGS.build(options, Sharing, encoder=encoder, tasks=("topic", "sentiment"))
"""

from __future__ import annotations

from nlpmtl.model.sharing.base import Sharing
from nlpmtl.model.sharing.hard import Hard

__all__ = ["Hard", "Sharing"]

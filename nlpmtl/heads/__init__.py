"""Heads in the shape of each architecture.

Head(width=384, outputs=3, shape=sequence_shape(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.head import Head
from nlpmtl.heads.head_config import HeadConfig, sequence_shape, token_shape

__all__ = ["Head", "HeadConfig", "sequence_shape", "token_shape"]

"""Heads in the shape of each architecture.

Head(width=384, outputs=3, shape=sequence_shape(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.context import HeadContext
from nlpmtl.heads.head import Head
from nlpmtl.heads.head_config import HeadConfig, sequence_shape, token_shape
from nlpmtl.heads.inputs import HeadInputs, Outputs, named_outputs

__all__ = [
    "Head",
    "HeadConfig",
    "HeadContext",
    "HeadInputs",
    "Outputs",
    "named_outputs",
    "sequence_shape",
    "token_shape",
]

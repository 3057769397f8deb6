"""Task heads, with the layers of transformers' own head for each architecture.

head = Head(width=384, outputs=3, config=sequence_head_config(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.crf import CrfHead
from nlpmtl.heads.head import Head, HeadContext, HeadInputs, Outputs, named_outputs
from nlpmtl.heads.head_config import HeadConfig, sequence_head_config, token_head_config
from nlpmtl.heads.pooling import AttentionPooling
from nlpmtl.heads.spans import SpanHead

__all__ = [
    "AttentionPooling",
    "CrfHead",
    "Head",
    "HeadConfig",
    "HeadContext",
    "HeadInputs",
    "Outputs",
    "SpanHead",
    "named_outputs",
    "sequence_head_config",
    "token_head_config",
]

"""Task heads, with the layers of transformers' own head for each architecture.

head = Head(width=384, outputs=3, config=sequence_head_config(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.biaffine import Biaffine, ParserHead
from nlpmtl.heads.embedding import EmbeddingHead
from nlpmtl.heads.head import Head, HeadContext, HeadInputs, Outputs, named_outputs
from nlpmtl.heads.head_config import HeadConfig, sequence_head_config, token_head_config
from nlpmtl.heads.pooling import AttentionPooling
from nlpmtl.heads.spanning_tree import maximum_spanning_tree

__all__ = [
    "AttentionPooling",
    "Biaffine",
    "EmbeddingHead",
    "Head",
    "HeadConfig",
    "HeadContext",
    "HeadInputs",
    "Outputs",
    "ParserHead",
    "maximum_spanning_tree",
    "named_outputs",
    "sequence_head_config",
    "token_head_config",
]

"""Task heads, with the layers of transformers' own head for each architecture.

head = Head(width=384, outputs=3, config=sequence_head_config(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.biaffine import Biaffine, ParserHead
from nlpmtl.heads.crf import CrfHead
from nlpmtl.heads.decoder import DecoderHead, TargetTokens, checkpoint_decoder, new_decoder
from nlpmtl.heads.embedding import EmbeddingHead
from nlpmtl.heads.head import Head, HeadContext, HeadInputs, LoadStock, Outputs, check_outputs, named_outputs
from nlpmtl.heads.head_config import (
    HeadConfig,
    choice_head_modules,
    question_answering_head_config,
    sequence_head_config,
    token_head_config,
)
from nlpmtl.heads.masked_lm import MaskedLMHead
from nlpmtl.heads.pooling import AttentionPooling
from nlpmtl.heads.spanning_tree import maximum_spanning_tree
from nlpmtl.heads.spans import SpanHead
from nlpmtl.heads.stock import HiddenStates, StockPart, encoder_name, stock_part

__all__ = [
    "AttentionPooling",
    "Biaffine",
    "CrfHead",
    "DecoderHead",
    "EmbeddingHead",
    "Head",
    "HeadConfig",
    "HeadContext",
    "HeadInputs",
    "HiddenStates",
    "LoadStock",
    "MaskedLMHead",
    "Outputs",
    "ParserHead",
    "SpanHead",
    "StockPart",
    "TargetTokens",
    "check_outputs",
    "checkpoint_decoder",
    "choice_head_modules",
    "encoder_name",
    "maximum_spanning_tree",
    "named_outputs",
    "new_decoder",
    "question_answering_head_config",
    "sequence_head_config",
    "stock_part",
    "token_head_config",
]

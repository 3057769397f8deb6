"""Task heads, with the layers of transformers' own head for each architecture.

head = Head(width=384, outputs=3, config=sequence_head_config(encoder.config), level="sequence")
"""

from __future__ import annotations

from nlpmtl.heads.decoder import DecoderHead, TargetTokens, checkpoint_decoder, new_decoder
from nlpmtl.heads.head import Head, HeadContext, HeadInputs, LoadStock, Outputs, named_outputs
from nlpmtl.heads.head_config import HeadConfig, sequence_head_config, token_head_config
from nlpmtl.heads.masked_lm import MaskedLMHead
from nlpmtl.heads.pooling import AttentionPooling
from nlpmtl.heads.stock import HiddenStates, StockPart, encoder_name, stock_part

__all__ = [
    "AttentionPooling",
    "DecoderHead",
    "Head",
    "HeadConfig",
    "HeadContext",
    "HeadInputs",
    "HiddenStates",
    "LoadStock",
    "MaskedLMHead",
    "Outputs",
    "StockPart",
    "TargetTokens",
    "checkpoint_decoder",
    "encoder_name",
    "named_outputs",
    "new_decoder",
    "sequence_head_config",
    "stock_part",
    "token_head_config",
]

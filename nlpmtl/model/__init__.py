"""The model, and the encoders it stands on.

encoder = load_encoder("answerdotai/ModernBERT-base")
model = MultiTaskModel.assemble(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
"""

from __future__ import annotations

from nlpmtl.kernels.fast_dropout import use_fast_dropout
from nlpmtl.kernels.int8 import Int8Linear, to_int8
from nlpmtl.kernels.packing import can_pack, use_packing
from nlpmtl.model.checks import check_files, check_length, check_loaded, check_logits, explain_load_error
from nlpmtl.model.cost import Footprint, footprint
from nlpmtl.model.encoder import Encoder, find_encoder, load_encoder
from nlpmtl.model.multitask import MultiTaskConfig, MultiTaskModel
from nlpmtl.model.saved_shapes import check_shapes
from nlpmtl.model.sharing import (
    Adapters,
    CrossStitch,
    Hard,
    Layers,
    Lora,
    Matrix,
    Sharing,
    SharingOptions,
    SoftL2,
)
from nlpmtl.model.suitability import check_tokenizer
from nlpmtl.model.tokenizer import load_tokenizer
from nlpmtl.model.weights import check_finite, with_finite_logits

__all__ = [
    "Adapters",
    "CrossStitch",
    "Encoder",
    "Footprint",
    "Hard",
    "Int8Linear",
    "Layers",
    "Lora",
    "Matrix",
    "MultiTaskConfig",
    "MultiTaskModel",
    "Sharing",
    "SharingOptions",
    "SoftL2",
    "can_pack",
    "check_files",
    "check_finite",
    "check_length",
    "check_loaded",
    "check_logits",
    "check_shapes",
    "check_tokenizer",
    "explain_load_error",
    "find_encoder",
    "footprint",
    "load_encoder",
    "load_tokenizer",
    "to_int8",
    "use_fast_dropout",
    "use_packing",
    "with_finite_logits",
]

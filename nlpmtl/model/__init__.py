"""The model, and the encoders it stands on.

encoder = load_encoder("answerdotai/ModernBERT-base")
model = MultiTaskModel.assemble(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
"""

from __future__ import annotations

from nlpmtl.model.encoder import Encoder, find_encoder, load_encoder
from nlpmtl.model.multitask import MultiTaskConfig, MultiTaskModel
from nlpmtl.model.sharing import Hard, Sharing

__all__ = [
    "Encoder",
    "Hard",
    "MultiTaskConfig",
    "MultiTaskModel",
    "Sharing",
    "find_encoder",
    "load_encoder",
]

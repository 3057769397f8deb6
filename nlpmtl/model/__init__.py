"""The multi-task model, pretrained encoders and sharing schemes.

encoder = load_encoder("answerdotai/ModernBERT-base")
model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=128, seed=0)
"""

from __future__ import annotations

from nlpmtl.model.architectures import parameter_depths
from nlpmtl.model.batch_losses import TaskLoss, batch_losses, task_outputs, weighted_losses
from nlpmtl.model.checks import check_files, check_length, check_loaded, check_logits, explain_load_error
from nlpmtl.model.cost import ModelCost, estimate_cost
from nlpmtl.model.encoder import Encoder, load_encoder
from nlpmtl.model.encoder_path import resolve_encoder_path
from nlpmtl.model.multitask import MultiTaskModel
from nlpmtl.model.multitask_config import MultiTaskConfig
from nlpmtl.model.progress_bars import without_progress_bars
from nlpmtl.model.row_losses import RowLosses
from nlpmtl.model.saved_shapes import check_shapes
from nlpmtl.model.shared_parameters import with_shared, without_shared
from nlpmtl.model.sharing import (
    Adapters,
    CrossStitch,
    Hard,
    Layers,
    Lora,
    Sharing,
    SharingOptions,
    SoftL2,
    TaskMatrix,
)
from nlpmtl.model.suitability import check_tokenizer
from nlpmtl.model.tokenizer import load_tokenizer
from nlpmtl.model.weights import check_finite

__all__ = [
    "Adapters",
    "CrossStitch",
    "Encoder",
    "Hard",
    "Layers",
    "Lora",
    "ModelCost",
    "MultiTaskConfig",
    "MultiTaskModel",
    "RowLosses",
    "Sharing",
    "SharingOptions",
    "SoftL2",
    "TaskLoss",
    "TaskMatrix",
    "batch_losses",
    "check_files",
    "check_finite",
    "check_length",
    "check_loaded",
    "check_logits",
    "check_shapes",
    "check_tokenizer",
    "estimate_cost",
    "explain_load_error",
    "load_encoder",
    "load_tokenizer",
    "parameter_depths",
    "resolve_encoder_path",
    "task_outputs",
    "weighted_losses",
    "with_shared",
    "without_progress_bars",
    "without_shared",
]

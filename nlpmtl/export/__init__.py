"""Exports: one task for transformers or sentence-transformers, LoRA adapters for PEFT, all tasks as one ONNX graph."""

from __future__ import annotations

from nlpmtl.export.onnx import export_onnx
from nlpmtl.export.peft_adapters import export_lora
from nlpmtl.export.sentence_transformers import export_sentence_transformer
from nlpmtl.export.transformers_model import export_task

__all__ = ["export_lora", "export_onnx", "export_sentence_transformer", "export_task"]

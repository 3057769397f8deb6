"""Exports: one task as a transformers model, LoRA adapters for PEFT, all tasks as one ONNX graph."""

from __future__ import annotations

from nlpmtl.export.onnx import export_onnx
from nlpmtl.export.peft_adapters import export_lora
from nlpmtl.export.transformers_model import export_task

__all__ = ["export_lora", "export_onnx", "export_task"]

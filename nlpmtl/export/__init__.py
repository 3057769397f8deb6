"""Export: single tasks as transformers models, LoRA adapters for peft, and the whole model as an ONNX graph."""

from __future__ import annotations

from nlpmtl.export.onnx import export_onnx
from nlpmtl.export.peft_adapters import export_lora
from nlpmtl.export.transformers_model import export_task

__all__ = ["export_lora", "export_onnx", "export_task"]

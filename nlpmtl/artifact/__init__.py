"""The finished model: its directory and its card."""

from __future__ import annotations

from nlpmtl.artifact.backend import Backend, BackendName, load_backend
from nlpmtl.artifact.card import write_card
from nlpmtl.artifact.files import load_model, new_directory, save_model, write_json
from nlpmtl.artifact.onnx import export_onnx

__all__ = [
    "Backend",
    "BackendName",
    "export_onnx",
    "load_backend",
    "load_model",
    "new_directory",
    "save_model",
    "write_card",
    "write_json",
]

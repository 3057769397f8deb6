"""The finished model: its directory, its card, the way to the Hub and back, and what others read of it.

What needs torch is loaded when it is first asked for, so that a model is pushed without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.artifact.card import CHOICES, CURVE, Facts, Source, write_card
from nlpmtl.artifact.guard import guarded
from nlpmtl.artifact.hub import fetch, push

if TYPE_CHECKING:
    from nlpmtl.artifact.backend import Backend, BackendName, Precision, load_backend
    from nlpmtl.artifact.device import check_device
    from nlpmtl.artifact.export import export_task
    from nlpmtl.artifact.files import load_model, new_directory, save_model, write_json
    from nlpmtl.artifact.lora import export_lora
    from nlpmtl.artifact.onnx import export_onnx

__all__ = [
    "CHOICES",
    "CURVE",
    "Backend",
    "BackendName",
    "Facts",
    "Precision",
    "Source",
    "check_device",
    "export_lora",
    "export_onnx",
    "export_task",
    "fetch",
    "guarded",
    "load_backend",
    "load_model",
    "new_directory",
    "push",
    "save_model",
    "write_card",
    "write_json",
]

_LAZY = {
    "backend": ("Backend", "BackendName", "Precision", "load_backend"),
    "device": ("check_device",),
    "export": ("export_task",),
    "files": ("load_model", "new_directory", "save_model", "write_json"),
    "lora": ("export_lora",),
    "onnx": ("export_onnx",),
}


def __getattr__(name: str) -> Any:
    for file, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

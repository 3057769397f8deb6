"""The finished model: its directory, its card, the way to the Hub and back, and what others read of it.

What needs torch is loaded when it is first asked for, so that a model is pushed without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.artifact.card import write_card
from nlpmtl.artifact.hub import fetch, push

if TYPE_CHECKING:
    from nlpmtl.artifact.export import export_task
    from nlpmtl.artifact.files import load_model, new_directory, save_model, write_json

__all__ = ["export_task", "fetch", "load_model", "new_directory", "push", "save_model", "write_card", "write_json"]

_LAZY = {
    "export_task": "nlpmtl.artifact.export",
    **dict.fromkeys(("load_model", "new_directory", "save_model", "write_json"), "nlpmtl.artifact.files"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

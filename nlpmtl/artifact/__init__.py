"""The finished model: its directory, its card, and the way to the Hub and back.

What needs torch is loaded when it is first asked for, so that a model is pushed without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.artifact.card import write_card
from nlpmtl.artifact.hub import fetch, push

if TYPE_CHECKING:
    from nlpmtl.artifact.files import load_model, save_model, write_json

__all__ = ["fetch", "load_model", "push", "save_model", "write_card", "write_json"]

_LAZY = dict.fromkeys(("load_model", "save_model", "write_json"), "nlpmtl.artifact.files")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

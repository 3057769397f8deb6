"""Model directories and their repositories on the Hugging Face Hub.

Modules that need torch are imported on first use, so that `push` does not import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nlpmtl.hub.model_files import CARD
from nlpmtl.hub.repository import PushOptions, fetch, push

if TYPE_CHECKING:
    from nlpmtl.hub.model_directory import atomic_directory, load_model, save_model

__all__ = ["CARD", "PushOptions", "atomic_directory", "fetch", "load_model", "push", "save_model"]

_WITH_TORCH = ("load_model", "atomic_directory", "save_model")


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(f"{__name__}.model_directory"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

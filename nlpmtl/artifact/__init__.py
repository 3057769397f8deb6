"""The finished model: its directory, its card, and what others read of it."""

from __future__ import annotations

from nlpmtl.artifact.card import write_card
from nlpmtl.artifact.export import export_task
from nlpmtl.artifact.files import load_model, new_directory, save_model, write_json

__all__ = ["export_task", "load_model", "new_directory", "save_model", "write_card", "write_json"]

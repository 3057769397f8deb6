"""The finished model: its directory and its card."""

from __future__ import annotations

from nlpmtl.artifact.card import write_card
from nlpmtl.artifact.files import load_model, save_model, write_json

__all__ = ["load_model", "save_model", "write_card", "write_json"]

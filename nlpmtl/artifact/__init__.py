"""The finished model: its directory, its card and its pictures."""

from __future__ import annotations

from nlpmtl.artifact.card import CURVE, Facts, Source, addressed, describe_comparison, describe_learning, write_card
from nlpmtl.artifact.files import load_model, save_model, write_json

__all__ = [
    "CURVE",
    "Facts",
    "Source",
    "addressed",
    "describe_comparison",
    "describe_learning",
    "load_model",
    "save_model",
    "write_card",
    "write_json",
]

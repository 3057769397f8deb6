"""Rows and configs that nobody should write: each is accepted, or refused in a few words that say where."""

from __future__ import annotations

from tests.faults.hostile.by_chance import rows_by_chance
from tests.faults.hostile.by_hand import bad_rows, rows_by_hand
from tests.faults.hostile.configs import configs, to_toml

__all__ = ["bad_rows", "configs", "rows_by_chance", "rows_by_hand", "to_toml"]

"""Invalid rows and configs: each is accepted, or refused with a plain error that names its location."""

from __future__ import annotations

from tests.faults.invalid_input.configs import configs, to_toml
from tests.faults.invalid_input.handwritten_rows import bad_files, handwritten_rows
from tests.faults.invalid_input.random_rows import random_rows

__all__ = ["bad_files", "configs", "handwritten_rows", "random_rows", "to_toml"]

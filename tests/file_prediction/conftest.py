"""Fixtures: small chunks, and a model loaded once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nlpmtl.file_prediction import parts, row_files

if TYPE_CHECKING:
    from tests.tiny import Trained


@pytest.fixture
def model(trained: Trained) -> Path:
    return trained.model_dir


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of four rows."""
    for module in (parts, row_files):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    return 4

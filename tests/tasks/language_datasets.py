"""Datasets for masked language modelling and generation, for the contract tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny import make_rows, write_rows


def language_datasets(directory: Path) -> dict[str, dict[str, Any]]:
    """Return a dataset for each kind, whose task has the name of the kind. Writes its files to the directory."""
    rows = {"train": make_rows(20, seed=3), "validation": make_rows(8, seed=4)}
    files = {split: str(write_rows(directory / "language" / f"{split}.jsonl", some)) for split, some in rows.items()}
    source: dict[str, Any] = {"data": {"files": files}, "input": {"text": "text"}}
    small = {"target": "other", "decoder_layers": 1, "max_target": 8}
    return {
        "masked": {**source, "tasks": {"masked_lm": {"kind": "masked_lm"}}},
        "reversed": {
            **source,
            "tasks": {
                "generation": {"kind": "generation", **small},
                "translation": {"kind": "translation", **small, "vocabulary": "targets", "num_beams": 2},
                "summarization": {"kind": "summarization", **small, "num_beams": 2},
            },
        },
    }

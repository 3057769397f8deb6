"""Tasks that a comparison scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpmtl import ConfigError
from nlpmtl.comparison.driver import _evaluated_tasks
from nlpmtl.run import load_config, load_inputs
from tests.tiny import make_run, write_rows


def test_a_task_whose_validation_rows_have_no_gold_label_is_not_compared(tmp_path: Path) -> None:
    """A row of a ranking without a click has no gold label: such a comparison would end without scores."""
    run = make_run(tmp_path, rows=30)
    rows = {
        split: [
            {"query": f"a {i}", "documents": ["a cat", "a dog"], "clicks": [i % 2] if split == "train" else []}
            for i in range(6)
        ]
        for split in ("train", "validation")
    }
    files = {split: str(write_rows(tmp_path / f"clicks.{split}.jsonl", of_split)) for split, of_split in rows.items()}
    shop = {
        "data": {"files": files},
        "input": {"text": "query", "choices": "documents"},
        "tasks": {"relevance": {"kind": "ranking", "clicks": "clicks"}},
    }
    with_both = load_config({**run, "datasets": {"shop": shop, "texts": run["datasets"]["texts"]}})
    _, datasets = load_inputs(with_both)
    assert _evaluated_tasks(datasets) == ["kinds"]
    alone = load_config({**run, "datasets": {"shop": shop}})
    _, datasets = load_inputs(alone)
    with pytest.raises(ConfigError, match="no task has labelled validation rows"):
        _evaluated_tasks(datasets)

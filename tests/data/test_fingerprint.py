"""Fingerprints depend on the rows, not on their source."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.config import DataConfig, InputConfig
from nlpmtl.data import DatasetLoader, LabelMapping, TokenizedSplit, attach_labels, describe_changes, fingerprint
from nlpmtl.data.labels import LabelType
from tests.tiny import make_rows, write_encoder, write_rows

ROWS: list[dict[str, Any]] = [{**row, "mood": row["mood"] or "neutral"} for row in make_rows(9)]
SHAPES: dict[str, LabelType] = {"mood": "class", "grade": "number", "kinds": "set", "tags": "tags"}
NAMES = {
    "mood": ("negative", "neutral", "positive"),
    "grade": (),
    "kinds": ("x", "y", "z"),
    "tags": ("O", "B-person", "B-place"),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(write_encoder(tmp_path_factory.mktemp("encoder")))
    return loaded


@pytest.fixture
def fingerprint_of(tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any]:
    """`fingerprint_of(rows, columns=…, **input)`: the fingerprint of rows in a file or in memory."""

    def take(source: Any, *, columns: tuple[str, ...] = ("mood",), **inputs: str) -> Any:
        prepare = DatasetLoader(tokenizer, max_length=32)
        prepared = prepare(
            DataConfig(files={"train": source}),
            input=InputConfig(**(inputs or {"text": "text"})),
            columns={column: SHAPES[column] for column in columns},
            limit={},
            name="d",
        )["train"]
        mappings = {column: LabelMapping(column, SHAPES[column], NAMES[column]) for column in columns}
        return fingerprint(attach_labels(prepared, mappings=mappings, train=True))

    return take


def test_every_format_of_the_same_rows_has_one_fingerprint(fingerprint_of: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("text", "mood")} for row in ROWS]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["text", "mood"])
        table.writeheader()
        table.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    sources = [
        write_rows(tmp_path / "rows.jsonl", rows),
        write_rows(tmp_path / "elsewhere" / "moved.jsonl", rows),
        tmp_path / "rows.csv",
        tmp_path / "rows.parquet",
        rows,
        pd.DataFrame(rows),
    ]
    fingerprints = [fingerprint_of(str(source) if isinstance(source, Path) else source) for source in sources]
    assert all(source == fingerprints[0] for source in fingerprints)
    assert fingerprint_of(str(sources[0])) == fingerprints[0], "from the cache"


@pytest.mark.parametrize(
    ("inputs", "columns"),
    [
        ({"text": "text"}, ("mood", "kinds")),
        ({"text": "text", "pair": "other"}, ("grade",)),
        ({"words": "tokens"}, ("tags", "mood")),
    ],
)
def test_every_change_of_the_content_is_described(
    fingerprint_of: Callable[..., Any], inputs: dict[str, str], columns: tuple[str, ...]
) -> None:
    rows = [row for row in ROWS if all(row[column] is not None for column in columns)]
    before = fingerprint_of(rows, columns=columns, **inputs)
    assert describe_changes(before, fingerprint_of(rows, columns=columns, **inputs)) is None
    for column in inputs.values():
        value = rows[3][column]
        other = [*rows[:3], {**rows[3], column: [*value[:-1], "zebra"] if isinstance(value, list) else f"{value}!"}]
        assert (
            describe_changes(before, fingerprint_of([*other, *rows[4:]], columns=columns, **inputs))
            == "the texts changed"
        )
    changes: dict[str, Any] = {"mood": "positive", "grade": 4.99, "kinds": ["y"], "tags": None}
    for column in columns:
        row = next(i for i, entry in enumerate(rows) if entry[column] not in (changes[column], "positive"))
        other = [{**entry, column: changes[column]} if i == row else entry for i, entry in enumerate(rows)]
        description = describe_changes(before, fingerprint_of(other, columns=columns, **inputs))
        assert description == f"the labels of task {column!r} changed"
    swapped = [rows[1], rows[0], *rows[2:]]
    assert (
        describe_changes(before, fingerprint_of(swapped, columns=columns, **inputs))
        == "the same rows are in another order"
    )
    more = describe_changes(before, fingerprint_of([*rows, rows[0]], columns=columns, **inputs))
    assert more == f"rows {len(rows)} → {len(rows) + 1}"


def test_swapped_labels_are_not_reported_as_reordered_rows(fingerprint_of: Callable[..., Any]) -> None:
    rows = [
        {"text": "a cat", "mood": "positive"},
        {"text": "a dog", "mood": "negative"},
        {"text": "a", "mood": "neutral"},
    ]
    moods = ["negative", "positive", "neutral"]
    other = [{**row, "mood": mood} for row, mood in zip(rows, moods, strict=True)]
    assert describe_changes(fingerprint_of(rows), fingerprint_of(other)) == "the labels of task 'mood' changed"


@pytest.mark.parametrize("other", ["A cat", "a  cat", "a cat " + "and " * 40 + "dog", "a cat " + "and " * 40 + "cat"])
def test_text_beyond_the_truncation_changes_the_fingerprint(fingerprint_of: Callable[..., Any], other: str) -> None:
    """Case, white space, and truncated text."""
    first, second = ([{"text": text, "mood": "neutral"}] for text in ("a cat " + "and " * 40 + "bird", other))
    assert describe_changes(fingerprint_of(first), fingerprint_of(second)) == "the texts changed"


def test_digests_do_not_depend_on_the_machine(fingerprint_of: Callable[..., Any]) -> None:
    rows = [{"text": "é 猫 a cat", "mood": "neutral"}, {"text": "", "mood": "positive"}]
    fingerprint = fingerprint_of(rows)
    assert fingerprint["inputs"] == "2144beb1696c43789416673abd70395ff03b46df38c97a96817f405e47e2c52b"
    assert fingerprint["labels"]["mood"] == "2a7272a7bbaa0a2b4fe9a52b4c08979af89b19caf7d70083ac78bddaf8ed102f"
    assert fingerprint["unordered"] == "afd86993243c5a46"


def test_rows_are_hashed_in_batches(fingerprint_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("tags", "mood")
    rows = [row for row in ROWS if row["tags"] is not None]
    full = fingerprint_of(rows, columns=columns, words="tokens")
    monkeypatch.setattr("nlpmtl.data.hashing._ROWS_PER_PART", 2)
    assert fingerprint_of(rows, columns=columns, words="tokens") == full


def test_rows_without_a_source_have_no_fingerprint() -> None:
    from nlpmtl.data import Ragged, Tokens

    assert fingerprint(TokenizedSplit(Tokens(Ragged(np.zeros(1, dtype=np.int32), np.arange(2))))) is None

"""Files in the formats of GLUE, spreadsheets and multi-part exports, read by `check`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nlpmtl.errors import DataError
from nlpmtl.preflight import SplitReport, check
from tests.tiny import write_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("files") / "encoder")


def read(encoder: Path, train: Any, *, output: Path) -> SplitReport:
    """Return the report of `check` on one or several files."""
    task = {"kind": "classification", "label": "label"}
    dataset = {"data": {"files": {"train": train}}, "input": {"text": "text"}, "tasks": {"topic": task}}
    run = {"output": str(output), "encoder": {"name": str(encoder)}, "datasets": {"d": dataset}, "train": {"steps": 1}}
    (split,) = check(run).splits
    return split


def test_quotes_in_a_tsv_file_are_characters(encoder: Path, tmp_path: Path) -> None:
    texts = ['"a good film', "a cat", 'a "bad" book"', '"', "a dog", 'it is "', '""', "one two"]
    lines = ["text\tlabel", *(f"{text}\t{'xy'[i % 2]}" for i, text in enumerate(texts))]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    split = read(encoder, str(tmp_path / "a.tsv"), output=tmp_path / "out")
    assert (split.rows, split.labelled) == (8, {"topic": 8})


def test_empty_columns_at_the_end_of_a_spreadsheet_are_not_read(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,,\r\na cat,x,,\r\na dog,y,,\r\n", encoding="utf-8-sig")
    split = read(encoder, str(tmp_path / "a.csv"), output=tmp_path / "out")
    assert (split.rows, split.labelled) == (2, {"topic": 2})


@pytest.mark.parametrize("train", [["b.jsonl", "a.csv"], "part-*.jsonl"])
def test_a_split_in_several_files(encoder: Path, train: str | list[str], tmp_path: Path) -> None:
    rows = [{"text": "a cat", "label": "x"}, {"text": "a dog", "label": "y"}]
    for name in ("b.jsonl", "part-1.jsonl", "part-2.jsonl"):
        (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    paths = str(tmp_path / train) if isinstance(train, str) else [str(tmp_path / name) for name in train]
    assert read(encoder, paths, output=tmp_path / "out").rows == 4


def test_endless_empty_lines_are_refused(encoder: Path, tmp_path: Path) -> None:
    """Four kilobytes of gzip can contain hours of empty lines."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n" * 1_000_001 + b'{"text": "a", "label": "x"}\n'))
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:1: more than 1,000,000 consecutive empty lines"):
        read(encoder, str(tmp_path / "a.jsonl.gz"), output=tmp_path / "out")

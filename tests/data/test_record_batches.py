"""Batches of Arrow rows in memory or in a temporary file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpmtl.data.examples import ArrowBatches, ArrowBuffer

SCHEMA = pa.schema([("text", pa.string()), ("labels", pa.list_(pa.string())), ("number", pa.float64())])
ROW = st.tuples(
    st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
    st.none() | st.lists(st.text(st.characters(codec="utf-8"), max_size=2), max_size=2),
    st.none() | st.floats(allow_nan=False),
)


def spooled(parts: list[list[Any]], *, directory: Path | None) -> ArrowBatches:
    with ArrowBuffer(SCHEMA, directory=directory) as spool:
        for part in parts:
            columns = zip(*part, strict=True) if part else [[] for _ in SCHEMA]
            spool.write([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)])
    return spool.batches()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.lists(ROW, max_size=4), max_size=4))
def test_batches_are_read_from_memory_and_from_a_file(tmp_path: Path, parts: list[list[Any]]) -> None:
    for directory in (None, tmp_path):
        batches = spooled(parts, directory=directory)
        assert isinstance(batches.source, Path) == (directory is not None)
        assert [batch.num_rows for batch in batches] == list(map(len, parts))
        assert [tuple(row.values()) for batch in batches for row in batch.to_pylist()] == [r for p in parts for r in p]
        assert batches.table().to_pylist() == [row for batch in batches for row in batch.to_pylist()]
        assert batches.schema == batches.table().schema == SCHEMA


def test_batches_can_be_read_repeatedly_and_concurrently(tmp_path: Path) -> None:
    for directory in (None, tmp_path):
        batches = spooled([[("a", [], 1.0)], [("b", None, None)]], directory=directory)
        pairs = zip(batches, batches, strict=True)
        assert [(batch.num_rows, batch.equals(other)) for batch, other in pairs] == [(1, True), (1, True)]


def test_batches_outlive_the_file(tmp_path: Path) -> None:
    batches = spooled([[("a", ["x"], 1.0)]], directory=tmp_path)
    table = batches.table()
    shutil.rmtree(tmp_path)
    assert table.to_pylist() == [{"text": "a", "labels": ["x"], "number": 1.0}]
    with pytest.raises(FileNotFoundError):
        batches.table()


def test_two_buffers_in_one_directory_are_independent(tmp_path: Path) -> None:
    first, second = (spooled([[(text, None, None)]], directory=tmp_path) for text in "ab")
    assert first.table()["text"].to_pylist() == ["a"]
    assert second.table()["text"].to_pylist() == ["b"]


def test_a_missing_or_invalid_directory_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(OSError, match=name):
            ArrowBuffer(SCHEMA, directory=tmp_path / name)


def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            spooled([[("a" * 999, None, None)] * 9], directory=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_error_in_the_block_is_raised_unchanged(tmp_path: Path) -> None:
    for directory in (None, tmp_path):
        with pytest.raises(KeyError, match="mine"), ArrowBuffer(SCHEMA, directory=directory):
            raise KeyError("mine")

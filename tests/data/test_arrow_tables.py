"""Arrow tables in memory and in files, and their columns as arrays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpmtl.data.arrow_tables import TableRows, TableWriter, read_table
from nlpmtl.data.ragged import ListColumn, Ragged
from nlpmtl.fs import open_regular_file

SCHEMA = pa.schema([("text", pa.string()), ("labels", pa.list_(pa.string())), ("number", pa.float64())])
ROW = st.tuples(
    st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
    st.none() | st.lists(st.text(st.characters(codec="utf-8"), max_size=2), max_size=2),
    st.none() | st.floats(allow_nan=False),
)
QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(parts: list[list[Any]], path: Path | None) -> pa.Table:
    with TableWriter(SCHEMA, path) as writer:
        for part in parts:
            columns = zip(*part, strict=True) if part else [[] for _ in SCHEMA]
            writer.write(pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True))
    return writer.table()


def count_open() -> int:
    """Return the number of open files of this process, if the system provides it."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def test_columns_in_several_chunks() -> None:
    """Strings of more than 2 GB are several chunks, which need not be those of other columns."""
    texts = pa.chunked_array([pa.array(["a", "b"]), pa.array(["c"])])
    labels = pa.array([["x"], None, []], pa.list_(pa.string()))
    with TableWriter(SCHEMA, None) as writer:
        writer.write([texts, labels, pa.array([1.0, 2.0, None])])
    assert list(writer.table().to_pydict().values()) == [["a", "b", "c"], [["x"], None, []], [1.0, 2.0, None]]


@QUICK
@given(parts=st.lists(st.lists(ROW, max_size=4), max_size=4))
def test_rows_are_read_from_memory_and_from_a_file(tmp_path: Path, parts: list[list[Any]]) -> None:
    rows = [dict(zip(SCHEMA.names, row, strict=True)) for part in parts for row in part]
    for table in (written(parts, None), written(parts, tmp_path / "a"), read_table(tmp_path / "a")):
        assert table.schema == SCHEMA
        assert table.to_pylist() == rows
        assert [batch.num_rows for batch in table.to_batches() if batch.num_rows] == [
            len(part) for part in parts if part
        ]


def test_datasets_reads_the_files(tmp_path: Path) -> None:
    written([[("a", [], 1.0)], [("b", None, None)]], tmp_path / "a.arrow")
    dataset = Dataset.from_file(str(tmp_path / "a.arrow"))
    assert dataset[1] == {"text": "b", "labels": None, "number": None}


def test_rows_are_not_copied_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    written([[("word " * 100, ["x"] * 9, 1.0)] * 1000] * 5, path)
    before = pa.total_allocated_bytes()
    rows = TableRows(read_table(path))
    assert pa.total_allocated_bytes() - before < 10_000
    assert rows.row(4999) == {"text": "word " * 100, "labels": ["x"] * 9, "number": 1.0}
    assert rows.take(np.array([3, 0]))["number"].to_pylist() == [1.0, 1.0]


def test_a_table_outlives_its_file_and_keeps_nothing_open(tmp_path: Path) -> None:
    before = count_open()
    table = written([[("a", ["x"], 1.0)]], tmp_path / "a")
    rows = TableRows(read_table(tmp_path / "a"))
    assert count_open() == before
    shutil.rmtree(tmp_path)
    assert table.to_pylist() == [rows.row(0)] == [{"text": "a", "labels": ["x"], "number": 1.0}]


def test_a_missing_or_invalid_directory_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(OSError, match=name):
            TableWriter(SCHEMA, tmp_path / name / "a")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "a")


def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            written([[("a" * 999, None, None)] * 9], tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_error_in_the_block_is_raised_unchanged(tmp_path: Path) -> None:
    before = count_open()
    for path in (None, tmp_path / "a"):
        with pytest.raises(KeyError, match="mine"), TableWriter(SCHEMA, path):
            raise KeyError("mine")
    assert count_open() == before


@pytest.mark.parametrize("content", [b"", b"{", b"ARROW1", bytes(99)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        read_table(tmp_path / "a")


@QUICK
@given(parts=st.lists(st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=3), max_size=4), max_size=4))
def test_lists_of_numbers_become_ragged_arrays(parts: list[list[list[int] | None]]) -> None:
    rows = [row or [] for part in parts for row in part]
    column = pa.chunked_array(parts, pa.list_(pa.int32()))
    ragged = Ragged.from_arrow(column)
    assert [row.tolist() for row in map(ragged.__getitem__, range(len(ragged)))] == rows
    assert Ragged.from_arrow(ragged.to_arrow()).bounds.tolist() == ragged.bounds.tolist()
    assert ragged.to_arrow().to_pylist() == rows
    assert Ragged.from_arrow(column.slice(1, 2)).lengths.tolist() == [len(row) for row in rows[1:3]]


@QUICK
@given(
    parts=st.lists(st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=3), max_size=4), max_size=4),
    type_=st.sampled_from([pa.int8(), pa.int32()]),
    data=st.data(),
)
def test_lists_are_read_by_the_indices_of_rows(
    tmp_path: Path, parts: list[list[list[int] | None]], type_: pa.DataType, data: st.DataObject
) -> None:
    schema = pa.schema([("text", pa.string()), ("lists", pa.list_(type_))])
    rows = [row or [] for part in parts for row in part]
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    for path in (None, tmp_path / "a"):
        with TableWriter(schema, path) as writer:
            for part in parts:
                writer.write([pa.array(["é"] * len(part), pa.string()), pa.array(part, schema.field("lists").type)])
        table = writer.table()
        assert TableRows(table).take(indices)["lists"].to_pylist() == [table["lists"].to_pylist()[i] for i in indices]
        for column, first in ((table["lists"], 0), (table["lists"].slice(1), 1)):
            read = ListColumn(column).take([i - first for i in indices if i >= first])
            assert [read[i].tolist() for i in range(len(read))] == [rows[i] for i in indices if i >= first]
            assert read.values.dtype == type_.to_pandas_dtype()
    joined = pa.concat_tables([table, read_table(tmp_path / "a")])["lists"]
    read = ListColumn(joined).take([len(rows) + i for i in indices])
    assert [read[i].tolist() for i in range(len(read))] == [rows[i] for i in indices]


class TestRegularFiles:
    def test_regular_files_are_opened(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        with open_regular_file(tmp_path / "a") as file:
            assert file.read() == b"abc"

    def test_links_directories_pipes_and_missing_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        (tmp_path / "dangling").symlink_to(tmp_path / "none")
        (tmp_path / "directory").mkdir()
        names = ["link", "dangling", "directory", "none"]
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe")  # opening a pipe without a writer would block
            names.append("pipe")
        for name in names:
            with pytest.raises(OSError, match=name):
                open_regular_file(tmp_path / name)

    def test_a_link_to_a_table_is_refused(self, tmp_path: Path) -> None:
        written([], tmp_path / "a")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        with pytest.raises(OSError, match="not a regular file"):
            read_table(tmp_path / "link")


def test_the_path_of_a_file_may_be_any_bytes(tmp_path: Path) -> None:
    """As in a cache below a home directory whose name is not UTF-8."""
    path = tmp_path / os.fsdecode(b"caf\xe9")
    table = written([[("a", ["b"], 1.0)]], path)
    assert table.equals(read_table(path))
    assert table.num_rows == 1

"""JSON Lines, CSV and Parquet files: row numbers, damage and fingerprints."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpmtl.data.files import check_extension, fingerprint_file, open_file
from nlpmtl.data.raw_rows import MalformedRow, RawRow
from nlpmtl.errors import ConfigError, DataError


def read(path: Path, *, labels: Sequence[str] = ()) -> list[tuple[int, RawRow]]:
    return list(open_file(str(path), inputs=["text"], labels=dict.fromkeys(labels, "class")).rows)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def rules(rows: list[tuple[int, RawRow]]) -> dict[int, str]:
    return {number: row.rule for number, row in rows if isinstance(row, MalformedRow)}


@pytest.mark.parametrize("name", ["a.md", "a.xlsx", "a.csv.xz", "a.gz", "a.zip.gz", "jsonl", "a"])
def test_an_unknown_extension_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.jsonl, \.json, \.csv, \.tsv, \.parquet, .*\.zip archive"):
        check_extension(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.jsonl",
        "a.jsonl.gz",
        "A.CSV",
        "a.tsv",
        "a.TSV.gz",
        "a.b.parquet",
        "a.parquet.gz",
        "a.conllu",
        "a.txt",
        "a.zip",
    ],
)
def test_known_extensions(name: str) -> None:
    check_extension(name)


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", "none.parquet"])
def test_a_missing_file_is_reported_before_rows_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such file"):
        open_file(str(tmp_path / name), inputs=["text"], labels={})


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "a.jsonl")


class TestFingerprint:
    def test_the_fingerprint_covers_bytes_and_path(self, tmp_path: Path) -> None:
        path, other = write(tmp_path / "a.jsonl", b"abc"), write(tmp_path / "b.jsonl", b"abc")
        first = fingerprint_file(str(path))
        assert first is not None
        assert first == fingerprint_file(str(path))
        assert first != fingerprint_file(str(other))
        times = path.stat()
        path.write_bytes(b"abd")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # with the same size and modification time
        assert fingerprint_file(str(path)) != first
        path.write_bytes(b"abc")
        assert fingerprint_file(str(path)) == first

    def test_the_path_is_the_one_in_error_messages(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "a.jsonl", b"abc")
        monkeypatch.chdir(tmp_path)
        assert fingerprint_file("a.jsonl") not in (None, fingerprint_file(str(path)))

    def test_a_missing_file_has_no_fingerprint(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").mkdir()
        assert fingerprint_file(str(tmp_path / "a.jsonl")) is None
        assert fingerprint_file(str(tmp_path / "none.jsonl")) is None


class TestJsonl:
    def test_lines_are_numbered_from_1(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "\xc3\xa9"}')
        assert read(path) == [(1, {"text": "a"}), (2, {"text": "é"})]

    def test_gzip_files_give_the_same_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": "b"}\n'))
        assert read(path) == [(1, {"text": "a"}), (2, {"text": "b"})]

    def test_empty_lines_are_accepted_only_at_the_end(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n\n  \n{"text": "b"}\n\n\n')
        rows = read(path)
        assert rules(rows) == {2: "an empty line", 3: "an empty line"}
        assert rows[-1] == (4, {"text": "b"})

    @pytest.mark.parametrize(
        ("line", "rule"),
        [
            (b"[1]", "a JSON object was expected"),
            (b'"text"', "a JSON object was expected"),
            (b"null", "a JSON object was expected"),
            (b'{"text": "a"', "not valid JSON"),
            (b'{"text": "a"} {"text": "b"}', "not valid JSON: Extra data"),
            (b"{'text': 'a'}", "not valid JSON"),
            (b'{"text": "a", "text": "b"}', "duplicate key in object"),
            (b'{"text": {"a": 1, "a": 2}}', "duplicate key in object"),
            (b'{"text": "a", "x": NaN}', "NaN is not a valid JSON number"),
            (b'{"text": "a", "x": -Infinity}', "-Infinity is not a valid JSON number"),
            (b'{"text": "\xff"}', "not valid UTF-8"),
            (b'{"text": "\xed\xa0\x80"}', "not valid UTF-8"),
            (b'{"text": ' + b"[" * 100_000, "not valid JSON"),
            (b'{"text": ' + b"1" * 5000 + b"}", "not valid JSON"),
            (b'\xef\xbb\xbf{"text": "a"}', "not valid JSON"),
        ],
    )
    def test_a_bad_line_does_not_affect_others(self, tmp_path: Path, line: bytes, rule: str) -> None:
        rows = read(write(tmp_path / "a.jsonl", b'{"text": "a"}\n' + line + b'\n{"text": "c"}\n'))
        assert [number for number, _ in rows] == [1, 2, 3]
        assert list(rules(rows)) == [2]
        assert rule in rules(rows)[2]

    @pytest.mark.parametrize(
        "content", [gzip.compress(b'{"text": "a"}\n' * 999, mtime=0)[:-9], b'{"text": "a"}\n', b"\x1f\x8b"]
    )
    def test_a_damaged_gzip_file_is_reported(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(DataError, match=r"a\.jsonl\.gz: cannot be read"):
            read(write(tmp_path / "a.jsonl.gz", content))

    def test_an_empty_file_has_no_rows(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.jsonl", b"")) == []

    @given(
        rows=st.lists(
            st.dictionaries(
                st.text(max_size=5),
                st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5),
                max_size=4,
            )
        )
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
    def test_random_rows_round_trip(self, tmp_path: Path, rows: Any) -> None:
        content = "".join(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows))
        path = write(tmp_path / "a.jsonl", content.encode())
        assert read(path) == list(enumerate(rows, 1))


class TestCsv:
    def test_a_record_has_the_number_of_its_first_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", b'\xef\xbb\xbftext,label\r\n"two\r\nlines, ""quoted""",1\r\nplain,\r\n')
        assert read(path, labels=["label"]) == [
            (2, {"text": 'two\r\nlines, "quoted"', "label": "1"}),
            (4, {"text": "plain", "label": None}),
        ]

    def test_an_empty_cell_is_an_empty_text(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.csv", b"text,label\n,x\n"), labels=["label"]) == [
            (2, {"text": "", "label": "x"})
        ]

    def test_tabs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tsv", b'text\tlabel\na, "b" c\t1\n')
        assert read(path) == [(2, {"text": 'a, "b" c', "label": "1"})]

    @pytest.mark.parametrize(
        ("record", "rule"),
        [
            (b"a,b,c", "3 field(s), but the header has 2"),
            (b"a", "1 field(s), but the header has 2"),
            (b'"a"b,c', "not valid csv"),
            (b"a\xff,b", "not valid UTF-8"),
            (b"a\0,b", "a NUL character"),
            (b"", "an empty line"),
        ],
    )
    def test_a_bad_record_does_not_affect_others(self, tmp_path: Path, record: bytes, rule: str) -> None:
        rows = read(write(tmp_path / "a.csv", b'text,label\n"a\nb",x\n' + record + b"\nc,z\n"))
        assert [number for number, _ in rows] == [2, 4, 5]
        assert list(rules(rows)) == [4]
        assert rule in rules(rows)[4]

    def test_an_unclosed_quote_is_reported_with_its_first_line(self, tmp_path: Path) -> None:
        rows = read(write(tmp_path / "a.csv", b'text,label\na,x\n"b,y\nc,z\n'))
        assert rules(rows) == {3: "not valid csv: unexpected end of data"}

    def test_empty_lines_at_the_end_are_accepted(self, tmp_path: Path) -> None:
        assert len(read(write(tmp_path / "a.csv", b"text\na\n\n\n"))) == 1

    def test_long_fields_are_read_without_changing_the_global_limit(self, tmp_path: Path) -> None:
        before = csv.field_size_limit()
        long = b"x" * (before + 1)
        rows = read(write(tmp_path / "a.csv", b"text\n" + long + b'\n"' + long + b'"\n'))
        assert [len(row["text"]) for _, row in rows if not isinstance(row, MalformedRow)] == [before + 1] * 2
        assert csv.field_size_limit() == before

    @pytest.mark.parametrize(
        ("header", "rule"),
        [
            (b"text,label,text", "duplicate column names: text"),
            (b"te\xffxt,label", "the header: not valid UTF-8"),
            ("text,label\n".encode("utf-16"), "the header: not valid UTF-8"),
            (b'"text"s,label', "the header: not valid csv"),
            (b"te\0xt", "the header: contains a NUL"),
        ],
    )
    def test_a_bad_header_is_an_error_of_the_file(self, tmp_path: Path, header: bytes, rule: str) -> None:
        with pytest.raises(DataError, match=rf"a\.csv: .*{rule}"):
            read(write(tmp_path / "a.csv", header + b"\na,b,c\n"))

    def test_an_empty_file_has_no_rows(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.csv", b"")) == []
        assert read(write(tmp_path / "b.csv", b"text,label\n")) == []


class TestParquet:
    def test_rows_are_numbered_across_row_groups_and_only_needed_columns_are_read(self, tmp_path: Path) -> None:
        table = pa.table({"text": [str(i) for i in range(2500)], "label": range(2500), "other": range(2500)})
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
        stream = open_file(str(tmp_path / "a.parquet"), inputs=["text"], labels={"label": "class"})
        rows = list(stream.rows)
        assert rows == [(i + 1, {"text": str(i), "label": i}) for i in range(2500)]
        assert stream.separator == ": row "
        assert list(stream.columns) == ["text", "label", "other"]

    def test_dictionary_and_list_columns_become_python_values(self, tmp_path: Path) -> None:
        table = pa.table({"text": pa.array(["a", "b", None]).dictionary_encode(), "tags": [["O"], [], None]})
        pq.write_table(table, tmp_path / "a.parquet")
        reader = open_file(str(tmp_path / "a.parquet"), inputs=["text"], labels={"tags": "set"})
        assert [row for _, row in reader.rows] == table.to_pylist()

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 50 + b"PAR1", b"hello" * 99])
    def test_a_damaged_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(DataError, match=r"a\.parquet: cannot be read"):
            read(write(tmp_path / "a.parquet", content))

    def test_damage_of_a_file_with_a_valid_footer_is_reported(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["some text"] * 100}), tmp_path / "a.parquet", compression="zstd")
        content = bytearray((tmp_path / "a.parquet").read_bytes())
        content[4:40] = b"\xff" * 36
        with pytest.raises(DataError, match=r"a\.parquet: cannot be read"):
            read(write(tmp_path / "a.parquet", bytes(content)))


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"])
def test_read_bytes_are_reported(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    table = pa.table({"text": [f"row {i} {'x' * (i % 50)} {i * 7919 % 1_000_003}" for i in range(20_000)]})
    if ending == ".parquet":
        pq.write_table(table, path)
    elif ending.startswith((".csv", ".tsv")):
        table.to_pandas().to_csv(path, sep="," if ending.startswith(".csv") else "\t", index=False)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
        path.write_bytes(gzip.compress(lines) if ending.endswith("gz") else lines)
    progress: list[int] = []
    after: list[int] = []
    for _ in open_file(str(path), inputs=["text"], labels={}, progress=progress.append).rows:
        after.append(sum(progress))
    size = path.stat().st_size
    assert 0 < after[0] < size / 2, "rows are read lazily"
    assert sum(progress) == pytest.approx(size, abs=20)
    assert after == sorted(after)

"""CSV and TSV files: every written row is read, whatever its fields contain."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nlpmtl.config import parse_dataset
from nlpmtl.config.dataset import DataConfig
from nlpmtl.data import lines
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import open_file
from nlpmtl.data.raw_rows import MalformedRow, RawRow
from nlpmtl.errors import ConfigError, DataError

ODD = [
    '"',
    '"She said',
    'it was fine"',
    'a "b" c',
    '""',
    "plain",
    "a, b",
    "it's",
    "a\u2028b",
    "a\u2029b",
    "a\u0085b",
    "a\x0cb",
    "a\x0bb",
    "a\x1cb",
    "\ufeffa",
    " padded ",
    "汉字",
    "é",
    "\\",
    "\\t",
    "#",
]
"""Texts that a reader might split, join or drop."""


def read(path: Path, *, labels: tuple[str, ...] = ("label",), **keys: Any) -> list[tuple[int, RawRow]]:
    form = TextFormat.of(DataConfig(files={"train": "a"}, **keys))
    return list(open_file(str(path), inputs=["text"], labels=dict.fromkeys(labels, "class"), format=form).rows)


def rules(rows: list[tuple[int, RawRow]]) -> dict[int, str]:
    return {number: row.rule for number, row in rows if isinstance(row, MalformedRow)}


def texts(rows: list[tuple[int, RawRow]]) -> list[str]:
    return [row["text"] for _, row in rows if not isinstance(row, MalformedRow)]


class TestTsv:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("final", [True, False])
    @pytest.mark.parametrize("compressed", [True, False])
    def test_each_line_is_a_row_and_quotes_are_characters(
        self, end: str, final: bool, compressed: bool, tmp_path: Path
    ) -> None:
        content = end.join(["text\tlabel", *(f"{text}\t{i}" for i, text in enumerate(ODD))]) + end * final
        path = tmp_path / ("a.tsv.gz" if compressed else "a.tsv")
        path.write_bytes(gzip.compress(content.encode()) if compressed else content.encode())
        assert read(path) == [(i + 2, {"text": text, "label": str(i)}) for i, text in enumerate(ODD)]

    def test_lines_longer_than_a_buffer(self, tmp_path: Path) -> None:
        long = [f'{"x" * n}"é' for n in (65_534, 65_536, 200_000, 1_100_000)]
        (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t1\n" for text in long), encoding="utf-8")
        assert texts(read(tmp_path / "a.tsv")) == long

    def test_a_carriage_return_inside_a_field_stays(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(b"text\tlabel\na\rb\t1\n")
        assert read(tmp_path / "a.tsv") == [(2, {"text": "a\rb", "label": "1"})]

    def test_a_quoted_tsv_file_suggests_the_quoting_key(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"text": ["two\nlines", 'a "b"', "c"], "label": ["x", "y", "z"]})
        frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
        assert 'set quoting = "minimal"' in rules(read(tmp_path / "a.tsv"))[2]
        assert texts(read(tmp_path / "a.tsv", quoting="minimal")) == list(frame.text)

    def test_an_empty_line_between_rows_is_a_bad_row(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_text("text\tlabel\na\t1\n\nb\t2\n\n\n")
        rows = read(tmp_path / "a.tsv")
        assert [number for number, _ in rows] == [2, 3, 4]
        assert rules(rows) == {3: "an empty line"}


class TestQuotedFields:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    def test_files_written_by_pandas_are_read(self, delimiter: str, quoting: Any, tmp_path: Path) -> None:
        values = [*ODD, "two\nlines", "two\r\nlines", "a;b|c\td", "\n", '"\n"']
        frame = pd.DataFrame({"text": values, "label": range(len(values))})
        frame.to_csv(tmp_path / "a.csv", sep=delimiter, index=False, quoting=quoting)
        rows = read(tmp_path / "a.csv", delimiter=delimiter)
        assert [row for _, row in rows] == [{"text": text, "label": str(i)} for i, text in enumerate(values)]

    def test_an_index_without_a_name_is_not_read(self, tmp_path: Path) -> None:
        pd.DataFrame({"text": ["a", "b"], "label": [1, 0]}).to_csv(tmp_path / "a.csv")
        assert read(tmp_path / "a.csv")[0] == (2, {"text": "a", "label": "1"})

    def test_an_unclosed_quote_affects_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('text,label\na,x\n"b,y\nc,z\n"d, e",x\n\nf,y\n')
        rows = read(tmp_path / "a.csv")
        assert [number for number, _ in rows] == [2, 3, 4, 5, 6, 7]
        assert list(rules(rows)) == [3, 6]
        assert texts(rows) == ["a", "c", "d, e", "f"]

    def test_a_quote_closed_in_a_later_row_affects_one_line_each(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('text,label\n"b,y\nc,z\n"d,x\ne,x\n"two\nlines",x\n')
        rows = read(tmp_path / "a.csv")
        assert [number for number, _ in rows] == [2, 3, 4, 5, 6]
        assert list(rules(rows)) == [2, 4]
        assert texts(rows) == ["c", "e", "two\nlines"]

    def test_without_quoting_quotes_are_characters(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('text,label\n"a,x\n"b",y\n')
        assert texts(read(tmp_path / "a.csv", quoting="none")) == ['"a', '"b"']

    def test_many_unclosed_quotes_take_linear_time(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text,label\n" + 'x","\n' * 30_000)
        assert len(rules(read(tmp_path / "a.csv"))) == 30_000


class TestHeader:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_empty_names_at_the_end_are_not_columns(self, end: str, tmp_path: Path) -> None:
        content = ["text,label,,", "a,x,,", '"b, c",y,,', "d,z", "e,,,", "f,x,,,"]
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + end.join(content).encode())
        rows = [row for _, row in read(tmp_path / "a.csv")]
        assert rows == [
            {"text": text, "label": label}
            for text, label in (("a", "x"), ("b, c", "y"), ("d", "z"), ("e", None), ("f", "x"))
        ]

    def test_cells_without_a_name_are_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text, ,label,\na,note,x,note\nb,,y,,note\n")
        rows = read(tmp_path / "a.csv")
        assert rows[0] == (2, {"text": "a", "label": "x"})
        assert rules(rows) == {3: "5 field(s), but the header has 4"}

    @pytest.mark.parametrize(("line", "delimiter"), [("sep=;", None), ("sep=;", ";"), ("sep=,", None)])
    def test_the_line_that_names_the_delimiter_for_excel(
        self, line: str, delimiter: str | None, tmp_path: Path
    ) -> None:
        (tmp_path / "a.csv").write_text(f"{line}\ntext{line[-1]}label\na{line[-1]}x\n")
        with pytest.raises(DataError, match=f"a.csv: the first line, '{line}', names the delimiter for Excel: remove"):
            read(tmp_path / "a.csv", delimiter=delimiter)

    def test_a_file_without_a_header(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_text('gj04\t1\t\tThey drank.\ngj04\t0\t*\tThey drank "it\n')
        named = read(tmp_path / "a.tsv", header=["source", "label", "star", "text"])
        assert named[1] == (2, {"source": "gj04", "label": "0", "star": "*", "text": 'They drank "it'})
        assert read(tmp_path / "a.tsv", header=False)[0] == (1, {"0": "gj04", "1": "1", "2": "", "3": "They drank."})
        assert rules(read(tmp_path / "a.tsv", header=["text", "label"])) == dict.fromkeys(
            (1, 2), "4 field(s), but the header has 2"
        )

    def test_100000_columns_take_linear_time(self, tmp_path: Path) -> None:
        names = ["text", "label", *(f"c{i}" for i in range(100_000))]
        (tmp_path / "a.csv").write_text(f"{','.join(names)}\n{'1,' * 100_001}1\n")
        assert texts(read(tmp_path / "a.csv")) == ["1"]


class TestEncodings:
    @pytest.mark.parametrize(
        ("encoding", "written"),
        [
            ("utf-16", "utf-16"),
            ("UTF-16", "utf-16"),
            ("utf-16-le", "utf-16-le"),
            ("utf-32", "utf-32"),
            ("utf-8-sig", "utf-8-sig"),
            ("utf8", "utf-8"),
            ("gb18030", "gb18030"),
        ],
    )
    @pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".tsv.gz"])
    def test_encodings_are_decoded(self, encoding: str, written: str, ending: str, tmp_path: Path) -> None:
        values = ["größer", "汉字 \u0a0d \u0d0a", "a\u2028b"]
        mark = {".csv": ",", ".tsv": "\t", ".tsv.gz": "\t"}.get(ending, "")
        rows = [f"{text}{mark}1" if mark else json.dumps({"text": text}, ensure_ascii=False) for text in values]
        content = "".join(f"{row}\r\n" for row in ([f"text{mark}label"] if mark else []) + rows).encode(written)
        (tmp_path / f"a{ending}").write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
        assert texts(read(tmp_path / f"a{ending}", encoding=encoding)) == values

    def test_bytes_that_cannot_be_decoded_are_reported_with_their_row(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_bytes(
            "text\tlabel\na\t1\n".encode("utf-16") + b"\x00\xdc" + "\t1\nb\t1\n".encode("utf-16-le")
        )
        rows = read(tmp_path / "a.tsv", encoding="utf-16")
        assert rules(rows) == {3: "not valid utf-16"}
        assert texts(rows) == ["a", "b"]

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=repr)
    @pytest.mark.parametrize("ending", [".csv", ".tsv"])
    def test_utf16_without_the_key_is_recognised(self, ending: str, line_end: str, tmp_path: Path) -> None:
        (tmp_path / f"a{ending}").write_bytes(f"text{line_end}".encode("utf-16"))
        with pytest.raises(DataError, match=r'the header: not valid UTF-8; .* set encoding = "utf-16"'):
            read(tmp_path / f"a{ending}")


class TestOptions:
    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"delimiter": ""}, "data.delimiter: one character was expected"),
            ({"delimiter": "||"}, "data.delimiter: one character was expected"),
            ({"delimiter": '"'}, "data.delimiter: one character was expected"),
            ({"delimiter": "\n"}, "data.delimiter: one character was expected"),
            ({"quoting": "some"}, "data.quoting: "),
            ({"quoting": 3}, "data.quoting: "),
            ({"encoding": "utf-9"}, "data.encoding: a text encoding that Python knows was expected"),
            ({"encoding": "base64"}, "data.encoding: a text encoding that Python knows was expected"),
            ({"encoding": "rot13"}, "data.encoding: a text encoding that Python knows was expected"),
            ({"encoding": "undefined"}, "data.encoding: a text encoding that Python knows was expected"),
            ({"encoding": ""}, "data.encoding: a text encoding that Python knows was expected"),
            ({"encoding": "a\0b"}, "data.encoding: a text encoding that Python knows was expected"),
            ({"header": 1}, "data.header: true, false, or a list"),
            ({"header": "text"}, "data.header: true, false, or a list"),
            ({"header": []}, "data.header: true, false, or a list"),
            ({"header": ["a", "a"]}, "data.header: true, false, or a list"),
            ({"header": ["a", 1]}, "data.header: true, false, or a list"),
        ],
    )
    def test_a_wrong_value_is_named(self, keys: dict[str, Any], message: str) -> None:
        data = {"files": {"train": "a.tsv"}, **keys}
        tables = {"data": data, "input": {"text": "text"}, "tasks": {"t": {"kind": "regression", "label": "label"}}}
        with pytest.raises(ConfigError, match=f"d.toml: {message}"):
            parse_dataset(tables, where="d.toml")

    @pytest.mark.parametrize(
        "key", [{"delimiter": ";"}, {"quoting": "none"}, {"encoding": "cp1252"}, {"header": False}]
    )
    def test_delimiter_and_encoding_require_files(self, key: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="applies to `files` only"):
            DataConfig(hub="a/b", **key)


class TestLimits:
    @pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.gz", "a.jsonl.gz"])
    def test_empty_lines_without_end(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "MOST_EMPTY_LINES", 1000)
        head = b"" if "jsonl" in name else b"text,label\n"
        (tmp_path / name).write_bytes(gzip.compress(head + b"\n" * 1000))
        assert read(tmp_path / name) == []
        (tmp_path / name).write_bytes(gzip.compress(head + b"\n" * 1001))
        with pytest.raises(DataError, match=rf"{name}:{2 if head else 1}: more than 1,000 consecutive empty lines"):
            read(tmp_path / name)

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.gz", "a.jsonl.gz"])
    def test_a_line_without_end(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
        (tmp_path / name).write_bytes(gzip.compress(b"x" * 100_000))
        with pytest.raises(DataError, match=f"{name}:1: the line is longer than the limit of 1,000 characters"):
            read(tmp_path / name)

    def test_a_quoted_record_without_end_takes_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nlpmtl.data.delimited.LONGEST_LINE", 1000)
        (tmp_path / "a.csv").write_text('text,label\n"a,x\n' + "b,y\n" * 1000)
        rows = read(tmp_path / "a.csv")
        assert list(rules(rows)) == [2]
        assert len(rows) == 1001


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_keep_their_rows(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    pieces = [*ODD, ",", ";", "\n", "\r\n", '"', '""', "x", " "]
    values = ["".join(source.choices(pieces, k=source.randint(1, 5))) for _ in range(50)]
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *([text, "1"] for text in values)])
    assert texts(read(tmp_path / "a.csv")) == values
    flat = [text.replace("\n", " ").replace("\r", " ") for text in values]
    (tmp_path / "a.tsv").write_text("".join(f"{text}\t1\n" for text in ["text", *flat]), encoding="utf-8")
    assert texts(read(tmp_path / "a.tsv")) == flat

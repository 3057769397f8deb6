"""Detected encoding, delimiter, quoting and header of text files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.detect_format import detect_format

TEXTS = [("It's fine, really; yes", "pos"), ("no, not\tat all", "neg"), ("a, b; c", "pos")]


def table(delimiter: str, *, header: bool = True) -> str:
    rows = [f'"{text}"{delimiter}{label}' for text, label in TEXTS]
    return "\n".join([f"text{delimiter}label", *rows] if header else rows) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", table(","), {}),
        ("a.csv", table(";"), {"delimiter": ";"}),
        ("a.csv", table("\t"), {"delimiter": "\t"}),
        ("a.csv", table("|"), {"delimiter": "|"}),
        ("a.csv", "text,genres\nyes,a|b\nno,c\n", {}),
        ("a.csv", "text;label\nyes, no;1\nno;0\n", {"delimiter": ";"}),
        ("a.csv", "text\nyes; no\nno\n", {}),
        ("a.csv", "", {}),
        ("a.tsv", 'text\tlabel\nsay "no\t1\n"yes" he says\t0\n', {}),
        ("a.tsv", 'text\tlabel\n"two\tparts"\t1\nplain\t0\n', {"quoting": "minimal"}),
        ("a.tsv", 'words\tlabel\n"[""a"", ""b""]"\t1\n[]\t0\n', {"quoting": "minimal"}),
        ("a.tsv", 'words\n"[""a"", ""b""]"\n', {"quoting": "minimal"}),
        ("a.tsv", 'text\tlabel\n"say ""no"""\t1\n"yes" he says\t0\n', {}),
        ("a.tsv", "text\tlabel\n" + "plain\t1\n" * 9 + '"so he said\t1\nno tab\nit" again\t0\n', {}),
        ("a.tsv", "text\tlabel\n" + "plain\t1\n" * 9 + 'no tab\n"so he said\t1\n', {}),
        ("a.tsv", 'text\tlabel\n"two\nlines"\t1\n', {"quoting": "minimal"}),
        ("a.tsv", "text\tlabel\n" + ('"' + "long\n" * 5000 + '"\t1\n') * 60, {"quoting": "minimal"}),
        ("a.tsv", '"text"\t"label"\n"yes"\t1\n"no"\t0\n', {"quoting": "minimal"}),
        ("a.tsv", '"text"\tlabel\n"yes"\t1\n"no"\t0\n', {}),
        ("a.tsv", '"text"\t"label"\n"yes"\t1\n"no" he said\t0\n', {}),
        ("a.tsv", "text,label\nyes,1\nno,0\n", {"delimiter": ","}),
        ("a.csv", table(",", header=False), {"header": False}),
        ("a.csv", "good film,5\nbad film,1\n", {"header": False}),
        ("a.csv", "0,1\ngood film,a\nbad film,b\n", {}),
        ("a.csv", ",text,2019\n0,good film,a\n1,bad film,b\n", {}),
        ("a.jsonl", '{"text": "a;b"}\n', {}),
        ("a.csv", "text,label\nline\u2028one,a\nb,c\n", {}),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, expected: dict[str, Any]) -> None:
    path, compressed = tmp_path / name, tmp_path / f"{name}.gz"
    path.write_text(content, encoding="utf-8")
    compressed.write_bytes(gzip.compress(content.encode()))
    assert detect_format(str(path)) == detect_format(str(compressed)) == TextFormat(**expected)


@pytest.mark.parametrize("unpaired", ['"Oh no', 'five"\t0\n"Oh no', '"yes" he says'])
def test_a_quote_far_down_in_a_tsv_file_does_not_join_its_lines(tmp_path: Path, unpaired: str) -> None:
    path = tmp_path / "a.tsv"
    quoted = 'text\tlabel\n"She said ""hi"""\t1\n' + "plain\t0\n" * 300
    path.write_text(quoted, encoding="utf-8")
    assert detect_format(str(path)) == TextFormat(quoting="minimal")
    path.write_text(f'{quoted}{unpaired}\t0\nlast"\t1\n', encoding="utf-8")
    assert detect_format(str(path)) == TextFormat()


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("cp1252", "cp1252")]
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_encodings(tmp_path: Path, name: str, encoding: str, expected: str) -> None:
    path = tmp_path / name
    path.write_text('text,label\n"très bien",a\nnon,b\n', encoding=encoding)
    assert detect_format(str(path)) == TextFormat(encoding=expected)


def test_damaged_bytes_do_not_change_the_encoding(tmp_path: Path) -> None:
    """One byte that is not UTF-8 among characters that are: cp1252 would change all of them."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + "très bien,a\n".encode() * 3 + b"caf\xe9,b\n")
    assert detect_format(str(path)) == TextFormat()
    path.write_text("text,label\na \ufffd,b\nc,b\n", encoding="utf-8")
    assert detect_format(str(path)) == TextFormat()


def test_a_character_at_the_end_of_the_head(tmp_path: Path) -> None:
    """The first megabyte ends inside a character of two bytes."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a" + "é".encode() * (1 << 20))
    assert detect_format(str(path)).encoding == "utf-8"

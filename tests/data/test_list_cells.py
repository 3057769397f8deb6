"""Lists in one cell: JSON or a separator, in rows with words, tags and label sets."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.config import InputConfig
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.list_cells import read_list_cells, split_cell
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.data.shards import Shards


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a|b", "|", ["a", "b"]),
        (" a | b |", "|", ["a", "b"]),
        ("a", ";", ["a"]),
        ("", ";", []),
        ("Ada  lives here", " ", ["Ada", "lives", "here"]),
        ('["a", "b|c"]', None, ["a", "b|c"]),
        (" [] ", None, []),
        ("a|b", None, None),
        ("['a']", None, None),
        ('{"a": 1}', None, None),
    ],
)
def test_cells(text: str, separator: str | None, expected: Any) -> None:
    assert split_cell(text, separator=separator) == expected


def read(row: Any, *, words: str | None = None, separator: str | None = None) -> Any:
    ((_, read_row),) = read_list_cells(
        iter([(1, row)]), words=words, lists=["tags"], tags=["tags"], separator=separator
    )
    return read_row


def test_words_and_tags() -> None:
    row = {"words": "Ada lives", "tags": "B-person O", "other": "a b"}
    expected = {"words": ["Ada", "lives"], "tags": ["B-person", "O"], "other": "a b"}
    assert read(row, words="words", separator=" ") == expected
    assert read({"words": '["Ada"]', "tags": '["O"]'}, words="words") == {"words": ["Ada"], "tags": ["O"]}


def test_the_text_of_spans_stays_a_text() -> None:
    row = {"text": "in [Rome]", "tags": '[[4, 8, "place"]]'}
    assert read(row, words="text") == {"text": "in [Rome]", "tags": [[4, 8, "place"]]}


def test_values_that_are_no_strings_are_kept() -> None:
    malformed = MalformedRow("x", "rule")
    assert read(malformed) is malformed
    assert read({"tags": None}) == {"tags": None}
    assert read({"tags": ["a"]}, separator="|") == {"tags": ["a"]}


@pytest.mark.parametrize("tags", [3, True, {"a": 1}])
def test_tags_that_are_no_list_are_kept(tags: Any) -> None:
    """Their column type reports them."""
    assert read({"words": "a b c", "tags": tags}, words="words", separator=" ")["tags"] == tags


@pytest.mark.parametrize(("row", "column"), [({"tags": "a b"}, "tags"), ({"tags": '["O"]', "words": "Ada"}, "words")])
def test_a_cell_without_a_list_is_reported(row: Any, column: str) -> None:
    malformed = read(row, words="words")
    assert isinstance(malformed, MalformedRow)
    assert malformed.rule.startswith(f"{column}: a list was expected: write JSON, such as")


@pytest.mark.parametrize(
    ("name", "content", "separator"),
    [
        ("a.csv", "text,tags\nx,a|b\ny,\nz,c\n", "|"),
        ("a.csv", 'text,tags\nx,"[""a"", ""b""]"\ny,\nz,"[""c""]"\n', None),
        ("a.csv", 'text,tags\nx,"[""a"", ""b""]"\ny, null\nz,"[""c""]"\n', None),
        ("a.txt", 'text\ttags\nx\t["a", "b"]\ny\t\nz\t["c"]\n', None),
        ("a.jsonl", '{"text": "x", "tags": "a|b"}\n{"text": "y", "tags": null}\n{"text": "z", "tags": ["c"]}\n', "|"),
    ],
)
def test_files(tmp_path: Path, name: str, content: str, separator: str | None) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    shards = Shards(
        [str(path)],
        inputs=InputConfig(text="text"),
        labels={"tags": "set"},
        format=TextFormat(separator=separator, delimiter="\t" if name.endswith(".txt") else None),
    )
    rows = [row["tags"] for _, row in shards.open().rows if not isinstance(row, MalformedRow)]
    assert rows == [["a", "b"], None, ["c"]]


def test_a_table_that_is_the_only_file_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", 'words,tags\n"[""Ada"", ""sings""]","[""B-x"", ""O""]"\n')
    inputs, labels = InputConfig(words="words"), {"tags": "tags"}
    shards = Shards([str(tmp_path / "a.zip")], inputs=inputs, labels=labels, format=TextFormat())
    assert [row for _, row in shards.open().rows] == [{"words": ["Ada", "sings"], "tags": ["B-x", "O"]}]

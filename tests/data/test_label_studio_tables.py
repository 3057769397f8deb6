"""Tables of Label Studio, and JSON-MIN, which has the same columns: spans and choices by the name of their control."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.errors import DataError
from tests.data.uncached import load_rows

TEXT = "👍👍 I m ok"
SPANS = [{"start": 5, "end": 6, "text": "I", "labels": ["P"]}]
"""Offsets of a browser, which count an emoji as two characters."""
KEYS = {"id": 1, "annotator": 1, "annotation_id": 3, "created_at": "2024-01-01T00:00:00Z", "lead_time": 1.5}
SUFFIXES = (".json", ".csv", ".tsv")


def write(path: Path, *rows: dict[str, Any]) -> Path:
    """Write the export JSON-MIN, or a table as Label Studio writes it, with JSON in its cells."""
    rows = tuple({**KEYS, **row} for row in rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        for row in rows:
            cells = {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in row.items()}
            writer.writerow(cells)
    return path


def read(path: Path, type_: str, *, column: str, **inputs: str) -> list[Any]:
    keys = {"quoting": "minimal"} if path.suffix == ".tsv" else {}
    data = DataConfig(files={"train": path}, **keys)
    rows = load_rows(data, input=InputConfig(**(inputs or {"text": "text"})), columns={column: type_})["train"]
    values: list[Any] = rows.table[f"label:{column}"].to_pylist()
    return [json.loads(value) if isinstance(value, str) and type_ == "spans" else value for value in values]


@pytest.mark.parametrize("text", ["text", "body"])
@pytest.mark.parametrize("column", ["label", "ner"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_offsets_are_converted_whatever_the_columns_are_called(
    suffix: str, column: str, text: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"a{suffix}", {text: TEXT, column: SPANS})
    assert read(path, "tags", column=column, words=text) == [["O", "O", "B-P", "O", "O"]]
    assert read(path, "spans", column=column, text=text) == [[[3, 4, "P"]]]


@pytest.mark.parametrize("column", ["label", "ner"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_offsets_of_another_text_are_reported(suffix: str, column: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", {"text": "Ada lives here", column: SPANS})
    for type_, words in (("tags", "words"), ("spans", "text")):
        with pytest.raises(DataError, match="5 to 6 is 'i' in the text, and 'I' in the export"):
            read(path, type_, column=column, **{words: "text"})


def test_a_task_with_several_texts_is_read_like_its_table(tmp_path: Path) -> None:
    """The export JSON does not say which of the strings is annotated."""
    result = {"value": SPANS[0], "from_name": "ner", "to_name": "body", "type": "labels"}
    value = {"id": 7, "data": {"title": "a", "body": TEXT}, "annotations": [{"result": [result]}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(value))
    assert read(tmp_path / "a.jsonl", "tags", column="label", words="body") == [["O", "O", "B-P", "O", "O"]]
    assert read(tmp_path / "a.jsonl", "spans", column="label", text="body") == [[[3, 4, "P"]]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_choice_is_a_string_and_several_are_an_object(suffix: str, tmp_path: Path) -> None:
    topics = ("x", {"choices": ["x", "y"]}, None, "y z")
    path = write(tmp_path / f"a{suffix}", *({"text": "a", "topics": value} for value in topics))
    assert read(path, "set", column="topics") == [["x"], ["x", "y"], None, ["y z"]]
    with pytest.raises(DataError, match=r"1 problem.*\n.*topics: one label was expected"):
        read(path, "class", column="topics")


def test_the_separator_of_a_table_is_read_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", {"text": "a", "topics": "x|y"}, {"text": "a", "topics": {"choices": ["z"]}})
    data = DataConfig(files={"train": path}, separator="|")
    rows = load_rows(data, input=InputConfig(text="text"), columns={"topics": "set"})["train"]
    assert rows.table["label:topics"].to_pylist() == [["x", "y"], ["z"]]


def test_a_string_of_another_table_is_not_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,topics\na,x\n")
    with pytest.raises(DataError, match="topics: a list was expected: write JSON"):
        read(tmp_path / "a.csv", "set", column="topics")

"""JSON arrays: read value by value, with the place of an error."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data import json_values
from nlpmtl.data.files import describe_file, open_file
from nlpmtl.data.json_values import read_json_values
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def chunks(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def read(text: str, *, size: int = 7) -> list[Any]:
    return [value for _, value in read_json_values(chunks(text, size), encoding="utf-8", where="a.json")]


@given(values=st.lists(VALUES, max_size=6), size=st.integers(1, 20), indent=st.sampled_from([None, 1]))
@settings(max_examples=40, deadline=None)
def test_arrays_of_any_values_in_any_chunks(values: list[Any], size: int, indent: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "_CHUNK", size)
        assert read(json.dumps(values, indent=indent), size=size) == values
        objects = [{"value": value} for value in values]
        assert read("\n".join(json.dumps(value, indent=indent) for value in objects), size=size) == objects


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ("", 0, None),
        (" \n ", 0, None),
        ("[]", 0, None),
        (" [ ] \n", 0, None),
        ('[{"a": 1},\n {"a": 2}\n', 2, "a.json:3: the array has no end: the file is incomplete"),
        ('[{"a": 1}\n {"a": 2}]', 1, "a.json:2: a comma or ] was expected after the value"),
        ('[{"a": 1},\n\n {"a": 2,}]', 1, "a.json:3: not valid JSON: "),
        ('[{"a": 1}, ]', 1, "a.json:1: not valid JSON: Expecting value"),
        ('[{"a": 1}]\n{"a": 2}', 1, "a.json:2: more text after the array"),
        ('[{"a": 1}, {"b": "unterminated', 1, "a.json:1: not valid JSON: Unterminated string"),
        ("[" * 100_000, 0, "a.json:1: not valid JSON: nested too deeply"),
    ],
)
def test_an_error_has_its_line(text: str, rows: int, message: str | None) -> None:
    values = read_json_values(chunks(text, 5), encoding="utf-8", where="a.json")
    assert len(list(islice(values, rows))) == rows
    if message is None:
        assert list(values) == []
    else:
        with pytest.raises(DataError, match=re.escape(message)):
            list(values)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ('{"a": 1, "a": 2}', "duplicate key in object"),
        ('{"a": NaN}', "NaN is not a valid JSON number"),
        ('{"a": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"a": "\udcff"}', "not valid UTF-8"),
    ],
)
def test_a_value_against_the_rules_does_not_affect_others(value: str, rule: str) -> None:
    values = read(f'[{{"a": 0}}, {value}, {{"a": 3}}]')
    assert values[0] == {"a": 0}
    assert values[2] == {"a": 3}
    assert isinstance(values[1], MalformedRow)
    assert rule in values[1].rule


def test_a_value_has_a_maximum_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "LONGEST_LINE", 100)
    monkeypatch.setattr(json_values, "_CHUNK", 10)
    with pytest.raises(DataError, match="a value is longer than the limit of 100 characters"):
        read('[{"a": "' + "x" * 10_000)


def test_memory_is_bounded_by_the_longest_value(tmp_path: Path) -> None:
    """Half of the file is read when half of the rows are."""
    table = [{"text": f"row {i}", "id": i} for i in range(100_000)]
    (tmp_path / "a.json").write_text(json.dumps(table, indent=2))
    size = (tmp_path / "a.json").stat().st_size
    progress: list[int] = []
    stream = open_file(str(tmp_path / "a.json"), progress=progress.append)
    for number, row in stream.rows:
        if number == 50_000:
            assert row == table[number - 1]
            assert sum(progress) < 0.75 * size
    assert number == len(table)
    assert stream.place(7) == f"{tmp_path}/a.json: row 7"


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ('[{"text": "a"}, {"text": "b"}]', "json"),
        ('\ufeff[\n{"text": "a"}\n, {"text": "b"}]\n', "json"),
        ('{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ('{"text":\n"a"}\n{"text":\n"b"}\n', "json"),
    ],
)
def test_json_files(text: str, type_: str, compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a.json.gz" if compressed else "a.json")
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    assert describe_file(str(path)).type == type_
    assert list(open_file(str(path)).rows) == [(1, {"text": "a"}), (2, {"text": "b"})]


def test_a_bad_line_of_a_json_lines_file_with_another_name_does_not_affect_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "a"}\n{"text": \n{"text": "c"}\n')
    rows = list(open_file(str(tmp_path / "a.json")).rows)
    assert [number for number, row in rows if not isinstance(row, MalformedRow)] == [1, 3]


def test_rows_that_are_not_objects_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "a"}, "b", 3]')
    rows = [row for _, row in open_file(str(tmp_path / "a.json")).rows]
    assert rows[1:] == [MalformedRow(value, "a JSON object was expected") for value in ("b", 3)]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"version": "1", "data": [{"text": "a"}, {"text": "b"}]}, "the rows seem to be the list in 'data'"),
        ({"text": {"0": "a"}, "label": {"0": "x"}}, r'a list of rows, .* to_json\(orient="records"\)'),
        ({"1": {"text": "a"}, "2": {"text": "b"}}, "a list of rows"),
    ],
)
def test_an_object_that_contains_the_rows(content: Any, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    ((number, row),) = open_file(str(path), inputs=["text"]).rows
    assert number == 1
    assert isinstance(row, MalformedRow)
    assert re.match(rule, row.rule)


@pytest.mark.parametrize("row", [{"text": "a", "spans": [{"start": 0}]}, {"words": ["a"], "tags": ["O"]}, {}])
def test_an_object_that_is_a_row(row: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(row))
    assert list(open_file(str(tmp_path / "a.json"), inputs=["text"]).rows) == [(1, row)]
    (tmp_path / "a.json").write_text(json.dumps([{"a": {"b": 1}}]))
    assert list(open_file(str(tmp_path / "a.json")).rows) == [(1, {"a": {"b": 1}})]

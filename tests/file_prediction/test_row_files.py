"""Streams of rows: JSON Lines or a text per line, by the first line."""

from __future__ import annotations

import io

import pytest

from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.file_prediction.row_files import open_stream


@pytest.mark.parametrize(
    "first", ['{"text": "a", "n": NaN}', '{"text": "a"', "{", '[{"text": "a"}]', "[", ' {"text": "a", "text": "b"}']
)
def test_json_that_is_not_a_row_is_not_a_text(first: str) -> None:
    file = open_stream("stdin", io.BytesIO(f'{first}\n{{"text": "b"}}\n'.encode()), encoding="utf-8")
    ((invalid, valid),) = (chunk.content for chunk in file.chunks)
    assert (file.type, valid) == ("json", {"text": "b"})
    assert isinstance(invalid, MalformedRow)


@pytest.mark.parametrize("first", ["{name} is late", "[laughs]", "a", "", '"{"'])
def test_lines_of_text(first: str) -> None:
    file = open_stream("stdin", io.BytesIO(f'{first}\n{{"text": "b"}}\n'.encode()), encoding="utf-8")
    assert file.type == "lines"
    assert [row for chunk in file.chunks for row in chunk.content] == [{"text": first}, {"text": '{"text": "b"}'}]

"""Files of rows in chunks; streams of JSON Lines or of a text per line, by the first line."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.file_prediction.row_files import open_row_file, open_stream


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


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_the_bytes_that_were_read_are_reported(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    texts = [f"cat {number}" for number in range(10)]
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": texts}), path, row_group_size=3)
    else:
        path.write_text("\n".join(["text", *texts]))
    read: list[int] = []
    reported = []
    for _ in open_row_file(str(path), format=TextFormat(",", "minimal"), progress=read.append).chunks:
        reported.append(sum(read))
    assert reported[0] > 0
    assert reported == sorted(reported)
    assert reported[-1] == path.stat().st_size


def test_an_empty_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([], type=pa.string())}), path)
    assert list(open_row_file(str(path), format=TextFormat()).chunks) == []

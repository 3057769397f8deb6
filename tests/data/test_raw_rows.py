"""Rows of Arrow tables: duplicate columns and invalid UTF-8."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nlpmtl.data.raw_rows import MalformedRow, arrow_rows, check_distinct
from nlpmtl.errors import DataError


def test_duplicate_columns_are_refused() -> None:
    check_distinct(["a", "b"], where="x.csv")
    with pytest.raises(DataError, match=r"x\.csv: .*duplicate column names: a, c"):
        check_distinct(["a", "b", "a", "c", "c"], where="x.csv")


def test_only_the_row_with_invalid_utf8_is_malformed() -> None:
    text = pa.array([b"one", b"tw\xff", b"three"], pa.binary()).view(pa.string())
    rows = list(arrow_rows(pa.table({"text": text})))
    assert rows == [{"text": "one"}, MalformedRow(b"tw\xff", "not valid UTF-8"), {"text": "three"}]

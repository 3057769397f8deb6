"""Lists of dicts and DataFrames as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.data.source import is_dataframe, open_dataframe, open_list
from nlpmtl.errors import DataError


def test_a_list_of_dicts_is_numbered_from_1_in_order() -> None:
    stream = open_list([{"a": np.float64(2.5), "b": np.array(["x", "y"])}, ["a"]], where="d: train")
    assert list(stream.rows) == [(1, {"a": 2.5, "b": ["x", "y"]}), (2, MalformedRow(["a"], "a dict was expected"))]
    assert (stream.where, stream.separator) == ("d: train", ", row ")


def test_a_value_that_contains_itself_is_an_invalid_row() -> None:
    label: list[Any] = []
    label.append(label)
    rows = dict(open_list([{"label": label}, {"label": "x"}], where="d: train").rows)
    frame = pd.DataFrame({"label": [label, "x"]})
    rows_of_frame = dict(open_dataframe(frame, where="d: train", columns=["label"]).rows)
    for invalid in (rows[1], rows_of_frame[1]):
        assert isinstance(invalid, MalformedRow)
        assert invalid.rule == "a value contains itself, or is nested too deeply"
    assert rows[2] == rows_of_frame[2] == {"label": "x"}


def test_missing_values_of_a_dataframe_are_null_and_its_index_is_ignored() -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", None, "c"],
            "label": [1.0, float("nan"), 0.0],
            "flag": pd.array([True, None, False], dtype="boolean"),
            "tags": [["O"], np.array(["B", "I"]), None],
            "kind": pd.Categorical(["x", None, "y"]),
            "other": [1, 2, 3],
        },
        index=[7, 7, 7],
    )
    stream = open_dataframe(frame, where="d: train", columns=["text", "label", "flag", "tags", "kind", "none"])
    assert list(stream.columns) == list(frame.columns)
    assert list(stream.rows) == [
        (1, {"text": "a", "label": 1.0, "flag": True, "tags": ["O"], "kind": "x"}),
        (2, {"text": None, "label": None, "flag": None, "tags": ["B", "I"], "kind": None}),
        (3, {"text": "c", "label": 0.0, "flag": False, "tags": None, "kind": "y"}),
    ]


def test_a_long_dataframe_is_read_in_batches() -> None:
    rows = list(open_dataframe(pd.DataFrame({"n": range(2500)}), where="d", columns=["n"]).rows)
    assert [number for number, _ in rows] == list(range(1, 2501))
    assert [row["n"] for _, row in rows if not isinstance(row, MalformedRow)] == list(range(2500))


def test_duplicate_columns_of_a_dataframe_are_refused() -> None:
    with pytest.raises(DataError, match="d: train: duplicate column names"):
        open_dataframe(pd.DataFrame([[1, 2]], columns=["a", "a"]), where="d: train", columns=["a"])


def test_dataframes_are_recognised() -> None:
    class Mine(pd.DataFrame):  # type: ignore[misc]
        pass

    assert is_dataframe(pd.DataFrame())
    assert is_dataframe(Mine())
    assert not is_dataframe(pd.Series([1]))
    assert not is_dataframe([{}])


def test_numpy_values_inside_lists_are_python_values() -> None:
    spans = [
        [np.array([0, 3, "x"], dtype=object)],
        np.array([np.array([0, 3, "x"], dtype=object), None], dtype=object)[:1],
        [[np.int64(0), np.int32(3), np.str_("x")]],
    ]
    for value in spans:
        expected = [(1, {"label": [[0, 3, "x"]]})]
        assert list(open_list([{"label": value}], where="d").rows) == expected
        assert list(open_dataframe(pd.DataFrame({"label": [value]}), where="d", columns=["label"]).rows) == expected
    ((_, row),) = open_list([{"label": [{"start": np.int64(0)}]}], where="d").rows
    assert not isinstance(row, MalformedRow)
    assert type(row["label"][0]["start"]) is int


@pytest.mark.parametrize("columns", [[0, 1], pd.MultiIndex.from_tuples([("text", ""), ("label", "")])])
def test_column_names_that_are_not_strings(columns: Any) -> None:
    frame = pd.DataFrame([["a", "x"]])
    frame.columns = columns
    with pytest.raises(DataError, match=r"d: train: the column names are not strings, found .*: set frame\.columns"):
        open_dataframe(frame, where="d: train", columns=["text", "label"])

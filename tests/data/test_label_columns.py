"""Columns of labels."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data.label_columns import NO_CODE, LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from tests.data.plain_values import plain

QUICK = settings(deadline=None, max_examples=40)
NAME = st.sampled_from(["", "a", "b", "O", "é", "-1"]) | st.text(st.characters(codec="utf-8"), max_size=3)
LABELS: dict[LabelType, st.SearchStrategy[Any]] = {
    "class": NAME,
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "set": st.lists(NAME, max_size=3, unique=True),
    "tags": st.lists(NAME, max_size=3),
}
STRINGS = pa.list_(pa.string())
TYPES = {"class": pa.string(), "number": pa.float64(), "set": STRINGS, "tags": STRINGS}


def read(shape: LabelType, parts: list[list[Any]]) -> LabelColumn:
    return LabelColumn.from_arrow(pa.chunked_array(parts, TYPES[shape]), shape)


def decode(column: LabelColumn) -> list[Any]:
    """Return the labels of a column by name."""
    rows: list[Any] = []
    for row, labelled in enumerate(column.labelled):
        if not labelled:
            rows.append(None)
        elif isinstance(column.values, Ragged):
            rows.append([column.names[code] for code in column.values[row]])
        else:
            value = column.values[row]
            rows.append(float(value) if column.type == "number" else column.names[value])
    return rows


@pytest.mark.parametrize("shape", sorted(LABELS))
@QUICK
@given(data=st.data())
def test_label_columns_have_the_labels_of_the_table(shape: LabelType, data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.lists(st.none() | LABELS[shape], max_size=4), max_size=4))
    column, rows = read(shape, parts), [label for part in parts for label in part]
    assert decode(column) == rows
    assert [column.value(i) for i in range(len(rows))] == rows
    labels = [label for label in rows if label is not None and shape != "number"]
    names = labels if shape == "class" else [name for label in labels for name in label]
    assert column.names == tuple(dict.fromkeys(names))  # the first row first


def test_unlabelled_rows_have_no_value() -> None:
    classes = read("class", [[None, "a"], [None]])
    assert plain(classes.values) == ("int8", [NO_CODE, 0, NO_CODE])
    numbers = read("number", [[None, 0.5], [None]])
    assert plain(numbers.values) == ("float64", ["nan", 0.5, "nan"])
    sets = read("set", [[None, ["a"]], [None, []]])
    assert isinstance(sets.values, Ragged)
    assert sets.values.lengths.tolist() == [0, 1, 0, 0]
    assert plain(sets.labelled) == ("bool", [False, True, False, True])


def test_slices_contain_only_their_rows() -> None:
    full: dict[LabelType, list[Any]] = {
        "class": ["a", None, "b", "c"],
        "tags": [["a"], None, ["b", "c"], ["d"]],
        "number": [1.0, None, 2.0, 3.0],
    }
    for shape, rows in full.items():
        column = pa.chunked_array([pa.array(rows, TYPES[shape])]).slice(1, 2)
        assert decode(LabelColumn.from_arrow(column, shape)) == rows[1:3]


def test_a_column_without_rows() -> None:
    for shape in LABELS:
        column = read(shape, [])
        assert (len(column.labelled), column.names) == (0, ())

from __future__ import annotations

import math
from typing import Any

import pytest

from nlpmtl.data.labels import to_label

NAMES = ("no", "yes")


@pytest.mark.parametrize(
    ("value", "label"),
    [("a", "a"), ("", ""), (0, "0"), (-3, "-3"), (True, "true"), (2.0, "2"), ("0", "0"), (None, None), (-1, "-1")],
)
def test_class(value: Any, label: Any) -> None:
    assert to_label(value, shape="class") == label


@pytest.mark.parametrize(("value", "label"), [(0, "no"), (1, "yes"), (-1, None), (None, None)])
def test_class_of_a_named_integer(value: Any, label: Any) -> None:
    assert to_label(value, shape="class", names=NAMES) == label


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf, ["a"], {"a": 1}, "\ud800", b"a"])
def test_what_is_no_class(value: Any) -> None:
    with pytest.raises(ValueError, match=r"a label was expected|not valid Unicode"):
        to_label(value, shape="class")


@pytest.mark.parametrize("value", [2, -2])
def test_an_integer_without_a_name(value: Any) -> None:
    with pytest.raises(ValueError, match="are 0 to 1"):
        to_label(value, shape="class", names=NAMES)


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), (2.5, 2.5), ("2.5", 2.5), (" -3e2 ", -300.0), (".5", 0.5), (-1, -1.0), (None, None)]
)
def test_number(value: Any, number: Any) -> None:
    found = to_label(value, shape="number")
    assert found == number
    assert found is None or type(found) is float


def test_minus_one_in_a_column_of_classes_is_no_number_either() -> None:
    assert to_label(-1, shape="number", names=NAMES) is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (True, "a number"),
        ("good", "a number"),
        ("1_000", "a number"),
        ("nan", "a number"),
        ([1.0], "a number"),
        (math.nan, "finite"),
        (-math.inf, "finite"),
        ("1e999", "finite"),
        (10**400, "finite"),
    ],
)
def test_what_is_no_number(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, shape="number")


def test_set() -> None:
    assert to_label(["b", "a"], shape="set") == ["b", "a"]
    assert to_label((0, 1), shape="set") == ["0", "1"]
    assert to_label([1, 0], shape="set", names=NAMES) == ["yes", "no"]
    assert to_label([], shape="set") == []
    assert to_label(None, shape="set") is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [("a", "a list"), (["a", "a"], "twice"), ([1, "1"], "twice"), (["a", None], "name of a label"), ([[]], "name")],
)
def test_what_is_no_set(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, shape="set")


def test_tags() -> None:
    words = ["Ada", "sings"]
    assert to_label(["B-PER", "O"], shape="tags", words=words) == ["B-PER", "O"]
    assert to_label([1, 0], shape="tags", names=NAMES, words=words) == ["yes", "no"]
    assert to_label(["O"], shape="tags", words=None) == ["O"]
    assert to_label(None, shape="tags", words=words) is None


@pytest.mark.parametrize(
    ("value", "names", "rule"),
    [
        ("O O", None, "a list of tags"),
        (["O"], None, "each word was expected: 1 for 2"),
        (["O", "O", "O"], None, "each word was expected: 3 for 2"),
        (["O", None], None, "tag 2 is no string"),
        (["O", 1], None, "tag 2 is no string"),
        (["O", "\ud800"], None, "not valid Unicode"),
        ([0, 2], NAMES, "are 0 to 1"),
        ([0, -1], NAMES, "are 0 to 1"),
        ([0, None], NAMES, "tag 2"),
    ],
)
def test_what_are_no_tags(value: Any, names: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, shape="tags", names=names, words=["Ada", "sings"])

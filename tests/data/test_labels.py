"""Parsing of single labels of each label type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nlpmtl.data.labels import to_label

NAMES = ("no", "yes")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("a", "a"),
        ("", None),
        (" ", None),
        (0, "0"),
        (-3, "-3"),
        (True, "true"),
        (2.0, "2"),
        ("0", "0"),
        (None, None),
        (-1, "-1"),
        (0.5, "0.5"),
    ],
)
def test_class(value: Any, label: Any) -> None:
    assert to_label(value, type="class") == label


@pytest.mark.parametrize(("value", "label"), [(0, "no"), (1, "yes"), (-1, None), (None, None)])
def test_class_of_a_named_integer(value: Any, label: Any) -> None:
    assert to_label(value, type="class", names=NAMES) == label


@pytest.mark.parametrize("value", [math.nan, math.inf, ["a"], {"a": 1}, "\ud800", b"a"])
def test_invalid_classes(value: Any) -> None:
    with pytest.raises(ValueError, match=r"a label name was expected|not valid Unicode"):
        to_label(value, type="class")


@pytest.mark.parametrize("value", [2, -2])
def test_an_integer_without_a_name(value: Any) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        to_label(value, type="class", names=NAMES)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (2.5, 2.5), ("2.5", 2.5), (" -3e2 ", -300.0), (".5", 0.5), (-1, -1.0), ("", None), (None, None)],
)
def test_number(value: Any, number: Any) -> None:
    label = to_label(value, type="number")
    assert label == number
    assert label is None or type(label) is float


def test_minus_one_of_a_class_column_is_unlabelled_as_a_number() -> None:
    assert to_label(-1, type="number", names=NAMES) is None


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
def test_invalid_numbers(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, type="number")


def test_set() -> None:
    assert to_label(["b", "a"], type="set") == ["b", "a"]
    assert to_label((0, 1), type="set") == ["0", "1"]
    assert to_label([1, 0], type="set", names=NAMES) == ["yes", "no"]
    assert to_label([], type="set") == []
    assert to_label(None, type="set") is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("a", "a list"),
        (["a", "a"], "duplicate label"),
        ([1, "1"], "duplicate label"),
        (["a", None], "label name"),
        (["a", ""], "label 2 is empty"),
        ([[]], "name"),
    ],
)
def test_invalid_sets(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, type="set")


def test_tags() -> None:
    words = ["Ada", "sings"]
    assert to_label(["B-PER", "O"], type="tags", words=words) == ["B-PER", "O"]
    assert to_label([1, 0], type="tags", names=NAMES, words=words) == ["yes", "no"]
    assert to_label(["O"], type="tags", words=None) == ["O"]
    assert to_label(None, type="tags", words=words) is None


@pytest.mark.parametrize(
    ("value", "names", "rule"),
    [
        ("O O", None, "a list of tags"),
        (["O"], None, "one tag per word was expected: 1 tags for 2"),
        (["O", "O", "O"], None, "one tag per word was expected: 3 tags for 2"),
        (["O", None], None, "tag 2 is missing"),
        (["O", " "], None, "tag 2 is empty"),
        (["O", 1], None, "tag 2 is not a string"),
        (["O", "\ud800"], None, "not valid Unicode"),
        ([0, 2], NAMES, "expected 0 to 1"),
        ([0, -1], NAMES, "tag 2 is missing"),
        ([0, None], NAMES, "tag 2"),
    ],
)
def test_invalid_tags(value: Any, names: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_label(value, type="tags", names=names, words=["Ada", "sings"])


def test_tags_that_may_be_missing() -> None:
    words = ["Ada", "sings", "here"]
    assert to_label(["B-PER", None, "_"], type="partial_tags", words=words) == ["B-PER", None, None]
    assert to_label(["_", None, "_"], type="partial_tags", words=words) == [None, None, None]
    assert to_label([None, 1, 0], type="partial_tags", names=NAMES, words=words) == [None, "yes", "no"]
    assert to_label([None] * 3, type="partial_tags", names=NAMES, words=words) == [None] * 3
    assert to_label([-1, 1, np.int64(-1)], type="partial_tags", names=NAMES, words=words) == [None, "yes", None]
    assert to_label(["-1", "B-x", "O"], type="partial_tags", words=words) == ["-1", "B-x", "O"], "a label name"
    assert to_label(None, type="partial_tags", words=words) is None
    for value, rule in (
        ("O", "a list of tags was expected"),
        ([None, "O"], "one tag per word was expected: 2 tags for 3"),
        ([None, "O", 1], "tag 3 is not a string"),
        ([None, "O", "\ud800"], "tag 3: not valid Unicode"),
    ):
        with pytest.raises(ValueError, match=rule):
            to_label(value, type="partial_tags", words=words)

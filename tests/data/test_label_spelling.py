"""Spellings of labels that count as one label."""

from __future__ import annotations

import pytest

from nlpmtl.data.label_spelling import Spelling, merged_names, sort_names, whole_number


@pytest.mark.parametrize(
    ("train", "names", "spelled"),
    [
        (["1", "2.0"], ["1", "1.0", "2.00", "-3.0", "-0.0", "2.50", "x"], ["1", "1", "2", "-3", "0", "2.5", "x"]),
        (["1.0", "2.5"], ["1.0", "+2.50", "1", ".5", "1e-05", "1e3"], ["1", "2.5", "1", "0.5", "1e-05", "1e3"]),
        (["1.1", "1.10", "2.0"], ["1.1", "1.10", "2.0"], ["1.1", "1.10", "2.0"]),
        (["1e+16"], ["1e+16"], ["10000000000000000"]),
        (["1.0", "unknown"], ["1.0", "unknown"], ["1.0", "unknown"]),
        (["True", "false"], ["TRUE", "true", "False", "tRUE"], ["true", "true", "false", "tRUE"]),
        (["True", "False", "Mixed"], ["True", "Mixed"], ["True", "Mixed"]),
        (["a"], ["cafe\u0301", "caf\u00e9", " a", "a\u00a0"], ["caf\u00e9", "caf\u00e9", "a", "a"]),
        ([" 1", "2.0 "], [" 1 ", "1.0\t"], ["1", "1"]),
        ([], ["1.0", "True"], ["1.0", "True"]),
    ],
)
def test_equivalent_spellings_of_a_label(train: list[str], names: list[str], spelled: list[str]) -> None:
    assert list(map(Spelling.of(train), names)) == spelled


def test_numbers_are_sorted_by_value_and_before_other_names() -> None:
    assert sort_names(["10", "2", "-10", "1", "-2"]) == ("-10", "-2", "1", "2", "10")
    assert sort_names(["b", "10", "a", "9", "1.5"]) == ("1.5", "9", "10", "a", "b")
    assert sort_names(["true", "false", "²", "-"]) == ("-", "false", "true", "²")
    assert sort_names(["1" * 5000, "2"]) == ("2", "1" * 5000)


@pytest.mark.parametrize(
    ("name", "number"), [("3", 3), ("-3.0", -3), (" 3 ", 3), ("3.5", None), ("", None), ("٣", None), ("9" * 5000, None)]
)
def test_whole_numbers(name: str, number: int | None) -> None:
    assert whole_number(name) == number


def test_merged_names() -> None:
    (unicode,) = merged_names({"caf\u00e9", "cafe\u0301", "x"})
    assert unicode.startswith("'caf\u00e9' in different Unicode forms")
    (space,) = merged_names({"pos", "pos ", "x "})
    assert space.startswith("'pos' with and without white space")
    assert len(list(merged_names({" caf\u00e9", "cafe\u0301"}))) == 2
    assert list(merged_names({"cafe\u0301", "x"})) == []

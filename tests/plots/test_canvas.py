"""Names of labels and tasks in plots."""

from __future__ import annotations

from nlpmtl.plots.canvas import MAX_NAME_LENGTH, display_names


def test_names_on_one_line() -> None:
    assert display_names(["billing", "B-place", "$x$", "é", "two\nlines"]) == [
        "billing",
        "B-place",
        "$x$",
        "é",
        "two lines",
    ]


def test_names_that_cannot_be_drawn_become_numbers() -> None:
    assert display_names(["a", "新闻", "", " ", "\x00"]) == ["a", "#2", "#3", "#4", "#5"]


def test_long_names_are_shortened_and_stay_distinct() -> None:
    (short,) = display_names(["x" * 100])
    assert short == "x" * (MAX_NAME_LENGTH - 1) + "…"
    assert display_names([f"{'x' * 40}1", f"{'x' * 40}2", "y"]) == ["#1", "#2", "y"]

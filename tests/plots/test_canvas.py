from __future__ import annotations

from nlpmtl.plots.canvas import LONGEST, display_names


def test_names_are_shown_as_they_are_where_they_can_be() -> None:
    assert display_names(["billing", "B-place", "$x$", "é", "two\nlines"]) == [
        "billing",
        "B-place",
        "$x$",
        "é",
        "two lines",
    ]


def test_what_the_font_lacks_or_nobody_can_see_is_a_number() -> None:
    assert display_names(["a", "新闻", "", " ", "\x00"]) == ["a", "#2", "#3", "#4", "#5"]


def test_long_names_are_cut_and_stay_apart() -> None:
    (cut,) = display_names(["x" * 100])
    assert cut == "x" * (LONGEST - 1) + "…"
    assert display_names([f"{'x' * 40}1", f"{'x' * 40}2", "y"]) == ["#1", "#2", "y"]

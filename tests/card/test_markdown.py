"""Escaping of names in Markdown."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmtl.card.markdown import code, escape, table

HOSTILE = [
    "a|b",
    "a\\|b",
    "`x`",
    "two\nlines",
    "<script>alert(1)</script>",
    "[x](y)",
    "**b**",
    "$x$",
    "",
    " ",
    "a`",
    "---",
]


def meaning(piece: str) -> str:
    """Return the rendered text of inline code."""
    if piece.startswith("`"):
        return piece[1:-1]
    return html.unescape(piece.removeprefix("<code>").removesuffix("</code>"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("billing", "`billing`"),
        ("B-place", "`B-place`"),
        ("a<b> & $c$", "`a<b> & $c$`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("a\\|b", "<code>a&#92;&#124;b</code>"),
        ("`x`", "<code>&#96;x&#96;</code>"),
        ("two\nlines", "`two lines`"),
        ("", "*(empty)*"),
    ],
)
def test_names_as_code(name: str, expected: str) -> None:
    assert code(name) == expected


@given(st.text(min_size=1).filter(lambda text: bool(text.strip()) and text.isprintable()))
def test_code_says_the_name_and_nothing_ends_it_early(name: str) -> None:
    piece = code(name)
    assert meaning(piece) == name
    assert "|" not in piece
    assert "\n" not in piece
    assert piece.count("`") in (0, 2)


@given(st.text())
def test_escaped_words_hold_no_markup(text: str) -> None:
    piece = escape(text)
    assert not set("`*_[]<>|\\~$\n\r{}") & set(piece)
    assert html.unescape(piece) == "".join(c if c.isprintable() else " " for c in text) or "&" in text


def test_a_table_keeps_its_cells_whatever_they_hold() -> None:
    lines = table(("name", "rows"), [(code(name), "3") for name in HOSTILE])
    assert lines[1] == "|---|---|"
    assert lines[-1] == ""
    for line in lines[:-1]:
        assert len(re.findall(r"\|", line)) == 3, line
        assert "\n" not in line

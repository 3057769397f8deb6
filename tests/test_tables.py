"""Tables as text and as HTML: alignment, and no markup or control characters from the cells."""

from __future__ import annotations

from nlpmtl.tables import html_table, text_table


def test_text() -> None:
    table = text_table(["task", "rows", "result"], [("topic", "8", "a"), ("mood", "12", "bc")], left=["task", "result"])
    assert table.splitlines() == ["task   rows  result", "topic     8  a", "mood     12  bc"]


def test_cells_cannot_contain_markup_or_control_characters() -> None:
    assert "\x1b" not in text_table(["task"], [["\x1b[31m"]], left=[])
    table = html_table(["task"], [["<b>\x1b[31m"]])
    assert "<b>" not in table
    assert "\x1b" not in table

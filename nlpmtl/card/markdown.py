"""Words as Markdown, whatever characters they hold: GitHub's flavour, which the Hub's is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_NEVER_IN_CODE = frozenset("`|\\")
"""What could end a piece of code, or a table's cell."""
_PLAIN = frozenset(" .,:;'\"()/%-+=?!")
"""What means itself within a line, beside letters and figures."""


def code(value: object) -> str:
    """A name as code: between backticks, or as HTML where that could go wrong."""
    text = _one_line(str(value))
    if not text.strip():
        return "*(empty)*"
    safe = text == text.strip() and _NEVER_IN_CODE.isdisjoint(text)
    return f"`{text}`" if safe else f"<code>{escape(text)}</code>"


def escape(text: str) -> str:
    """Words that say what they say: nothing is taken for Markdown or HTML, or ends a table's cell."""
    return "".join(c if c.isalnum() or c in _PLAIN or not c.isascii() else f"&#{ord(c)};" for c in _one_line(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, and an empty one; the cells are Markdown already."""
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)

"""Escaping for GitHub-flavoured Markdown, as the Hub renders it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_UNSAFE_IN_CODE = frozenset("`|\\")
"""Characters that could end a code span or a table cell."""
_PLAIN = frozenset(" .,:;'\"()/%-+=?!")
"""Characters without a meaning inside a line, in addition to letters and digits."""


def code(value: object) -> str:
    """Return a value as a code span, or as HTML if a code span could not hold it."""
    text = _single_line(str(value))
    if not text.strip():
        return "*(empty)*"
    safe = text == text.strip() and _UNSAFE_IN_CODE.isdisjoint(text)
    return f"`{text}`" if safe else f"<code>{escape(text)}</code>"


def escape(text: str) -> str:
    """Escape a text so that nothing in it is read as Markdown or HTML or ends a table cell."""
    return "".join(c if c.isalnum() or c in _PLAIN or not c.isascii() else f"&#{ord(c)};" for c in _single_line(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, and an empty line; the cells are Markdown already."""
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _single_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)

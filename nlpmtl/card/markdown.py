"""Escaping for GitHub-flavoured Markdown, as the Hub renders it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_UNSAFE_IN_CODE = frozenset("`|\\")
"""Characters that could end a code span or a table cell."""
_SPECIAL = re.compile(r"""[^a-zA-Z0-9 .,:;'"()/%\-+=?!\u0080-\U0010ffff]""")
"""Characters that may have a meaning inside a line."""


def code(value: object) -> str:
    """Return a value as a code span, or as HTML if a code span could not hold it."""
    text = _single_line(str(value))
    if not text.strip():
        return "*(empty)*"
    safe = text == text.strip() and _UNSAFE_IN_CODE.isdisjoint(text)
    return f"`{text}`" if safe else f"<code>{escape(text)}</code>"


def escape(text: str) -> str:
    """Escape a text so that nothing in it is read as Markdown or HTML or ends a table cell."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", _single_line(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, and an empty line; the cells are Markdown already."""
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _single_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)

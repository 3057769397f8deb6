"""Escaping for GitHub-flavoured Markdown, as the Hub renders it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_UNSAFE_IN_CODE = frozenset("`|\\")
"""Characters that could end a code span or a table cell."""
_SPECIAL = re.compile(r"""[^a-zA-Z0-9 .,:;'"()/%\-+=?!\u0080-\U0010ffff]""")
"""Characters that may have a meaning inside a line."""


def code(value: object) -> str:
    """Return a value as a code span, or as an HTML element if a code span cannot represent it."""
    text = _single_line(str(value))
    if not text.strip():
        return "*(empty)*"
    safe = text == text.strip() and _UNSAFE_IN_CODE.isdisjoint(text)
    return f"`{text}`" if safe else f"<code>{escape(text)}</code>"


def escape(text: str) -> str:
    """Escape the characters of a text that Markdown, HTML or a table cell would interpret."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", _single_line(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, followed by an empty line. The cells are Markdown and are not escaped."""
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _single_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)

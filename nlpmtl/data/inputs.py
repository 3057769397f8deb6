"""Raw input to canonical input. Each function raises ValueError with the rule that a value breaks."""

from __future__ import annotations

import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def has_surrogate(text: str) -> bool:
    """Whether half of a character stands alone in a text, which no encoding can write."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def to_text(value: Any) -> str:
    """A text; the empty one is one too."""
    if value is None:
        raise ValueError("null, or not there")
    if not isinstance(value, str):
        raise ValueError("a string was expected")
    if has_surrogate(value):
        raise ValueError("not valid Unicode")
    return value


def to_words(value: Any) -> list[str]:
    """The words of a pre-split text: at least one."""
    if value is None:
        raise ValueError("null, or not there")
    if not isinstance(value, list | tuple):
        raise ValueError("a list of words was expected")
    if not value:
        raise ValueError("at least one word was expected")
    for number, word in enumerate(value, 1):
        if not isinstance(word, str):
            raise ValueError(f"word {number} is no string")
        if has_surrogate(word):
            raise ValueError(f"word {number} is not valid Unicode")
    return list(value)

"""Strict JSON (RFC 8259): numbers that are not finite are written as null."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_ESCAPED = {
    code: f"\\u{code:04x}"
    for codes in (range(0x7F, 0xA0), (0x061C, 0x200E, 0x200F), range(0x2028, 0x202F), range(0x2066, 0x206A))
    for code in codes
}
"""Characters that control a terminal but are legal in JSON: control characters, line ends, text directions."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def dumps(value: Any, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """Return a value as JSON text, with null for NaN and the infinities.

    `json.dumps` writes `NaN` and `Infinity` by default, which other parsers of JSON refuse.

    >>> dumps({"loss": float("nan")})
    '{"loss": null}'
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON for a terminal or a file of lines: all scripts unescaped, other control characters escaped.

    These are characters that control a terminal, and those that some programs read as the end of a line.
    """
    return dumps(value, indent=indent, ensure_ascii=False).translate(_ESCAPED)


def has_surrogate(text: str) -> bool:
    """Return whether a text has a lone surrogate, which JSON can escape but no encoding can represent."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def find_unsupported(value: Any, place: str) -> str | None:
    """Return what JSON cannot represent in a value, such as a key that is not a string; None if there is nothing.

    Args:
        value: the value.
        place: name of the value, for the message.

    >>> find_unsupported({"means": {3: 0.5}}, "state")
    'state.means has the key 3, which is not a string'
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{place} has the key {key!r}, which is not a string"
            if problem := find_unsupported(item, f"{place}.{key}"):
                return problem
        return None
    if isinstance(value, list | tuple):
        return next((problem for item in value if (problem := find_unsupported(item, place))), None)
    is_supported = value is None or isinstance(value, str | int | float)
    return None if is_supported else f"{place} has a value of type {type(value).__name__}"


def _without_nan(value: Any) -> Any:
    """Return a copy with None for each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_without_nan(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value

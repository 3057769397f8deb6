"""Names in configs: label names, which are normalized to strings, and names of poolings."""

from __future__ import annotations

import math
import struct
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from nlpmtl.strict_json import has_surrogate


def label_name(value: Any) -> str:
    """Return a label name as a string: ``"true"`` or ``"false"``, a number (1.0 as ``"1"``), or a string in NFC.

    Raises:
        ValueError: the value is not a boolean, a finite number or a string.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return number_name(value)
    if isinstance(value, str):
        if has_surrogate(value):
            raise ValueError("the name of a label must be valid Unicode")
        return unicodedata.normalize("NFC", value)
    raise ValueError("the name of a label was expected: a string, a number, true or false")


def number_name(value: float) -> str:
    """Return the label name of a finite number.

    A number that was stored in single precision has the name that it has there: ``"0.1"``, not
    ``"0.10000000149011612"``.

    Example:
        >>> number_name(1.0), number_name(0.5)
        ('1', '0.5')
    """
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    name = repr(value)
    if len(name) <= _DIGITS_OF_SINGLE or _to_single(value) != value:
        return name
    shorter = (f"{value:.{digits}g}" for digits in range(1, _DIGITS_OF_SINGLE))
    return next((text for text in shorter if _to_single(float(text)) == value), name)


def _to_single(value: float) -> float:
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single


_DIGITS_OF_SINGLE = 12
"""More digits than any number in single precision needs, with its sign, point and a leading zero."""

_ANY_OF = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
LabelName = Annotated[str, BeforeValidator(label_name), WithJsonSchema({"anyOf": _ANY_OF})]
"""Label name in a config: ``labels = [1, 2, 3]`` is equivalent to ``labels = ["1", "2", "3"]``."""

Pooling = Literal["first", "mean", "max", "attention"]
"""Pooling method: combines the hidden states of a text into one vector."""

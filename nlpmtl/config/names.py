"""Names in configs: label names, which are normalized to strings, and names of poolings."""

from __future__ import annotations

import math
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema


def label_name(value: Any) -> str:
    """Return a label name as a string: ``"true"`` or ``"false"``, a number (1.0 as ``"1"``), or a string in NFC.

    Raises:
        ValueError: the value is not a boolean, a finite number or a string.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    raise ValueError("the name of a label was expected: a string, a number, true or false")


_ANY_OF = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]
LabelName = Annotated[str, BeforeValidator(label_name), WithJsonSchema({"anyOf": _ANY_OF})]
"""Label name in a config: ``labels = [1, 2, 3]`` is equivalent to ``labels = ["1", "2", "3"]``."""

Pooling = Literal["first", "mean", "max", "attention"]
"""How the hidden states of a text become one vector."""

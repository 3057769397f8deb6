"""Raw labels to canonical ones: the five shapes that a column of labels can have."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from nlpmtl.data.input_parsing import are_strings, has_surrogate
from nlpmtl.data.label_spelling import whole_number

LabelType = Literal["class", "number", "set", "tags", "flag"]
"""One label's name; a number; any number of names; a name for each word; 0 or 1, where the column is a label."""

LIST_TYPES: frozenset[LabelType] = frozenset({"set", "tags"})
"""The shapes that are lists."""

YES, NO = "1", "0"
"""The names in a column of flags."""
_FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "True", "TRUE"), YES),
    **dict.fromkeys(("0", "0.0", "false", "False", "FALSE"), NO),
}
_UNLABELLED = -1
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def to_label(
    value: Any, *, shape: LabelType, names: Sequence[str] | None = None, words: Sequence[str] | None = None
) -> str | float | list[str] | None:
    """A label in its canonical form; None where the row is unlabelled.

    Args:
        value: what the source has.
        shape: the shape of the column's labels.
        names: the names behind integers, where the source keeps both; −1 is then unlabelled.
        words: the row's words, which tags must match in number.

    Raises:
        ValueError: the rule that the value breaks.
    """
    value = _to_python(value)
    if value is None or (names is not None and value == _UNLABELLED):
        return None
    if shape == "class":
        return _to_name(value, names)
    if shape == "number":
        return _to_number(value)
    if shape == "flag":
        return _to_flag(value)
    return _to_set(value, names) if shape == "set" else _to_tags(value, names, words)


def is_flag(name: str) -> bool:
    """Whether the name of a label can also be read as 0 or 1."""
    return name in _FLAGS


def is_on(name: str) -> bool:
    """Whether a name for which `is_flag` holds means 1."""
    return _FLAGS[name] == YES


def _to_name(value: Any, names: Sequence[str] | None) -> str:
    """The name of a label. A whole number has the same name as an integer, as a float and as a decimal."""
    value = _to_python(value)
    if isinstance(value, str):
        if has_surrogate(value):
            raise ValueError("not valid Unicode")
        return str(value)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole:
        raise ValueError("the name of a label was expected: a string or a whole number")
    if names is None:
        return str(value).lower() if isinstance(value, bool) else str(int(value))
    if not 0 <= value < len(names):
        raise ValueError(f"the classes of this column are 0 to {len(names) - 1}")
    return names[int(value)]


def _to_python(value: Any) -> Any:
    """NumPy's values and decimals, which databases have, as Python's integers and floats."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    return value


def _to_number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number was expected")
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError("a finite number was expected")
    return float(value)


def _to_flag(value: Any) -> str:
    name = str(value).strip() if isinstance(value, str | int | float) else ""
    number = whole_number(name)
    name = name if number is None else str(number)
    if name not in _FLAGS:
        raise ValueError("0 or 1 was expected, or true or false")
    return _FLAGS[name]


def _to_set(value: Any, names: Sequence[str] | None) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of labels was expected")
    labels = [_to_name(label, names) for label in value]
    if len(set(labels)) < len(labels) and not (names is None and _may_be_multi_hot(value, labels)):
        raise ValueError("a label stands twice in the list")
    return labels


def _may_be_multi_hot(value: Sequence[Any], labels: Sequence[str]) -> bool:
    """Whether a list may have an entry for each label of a task: `resolve_labels` decides once it knows these."""
    return all(map(is_flag, labels)) and len({isinstance(one, str) for one in value}) == 1


def _to_tags(value: Any, names: Sequence[str] | None, words: Sequence[str] | None) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of tags was expected")
    if words is not None and len(value) != len(words):
        raise ValueError(f"a tag for each word was expected: {len(value)} for {len(words)}")
    if names is None and are_strings(value):
        return list(value)
    strings = [isinstance(tag, str) for tag in value]
    if any(strings) and not all(strings):
        raise ValueError(f"tag {strings.index(False) + 1} is no string")
    tags = []
    for number, tag in enumerate(value, 1):
        try:
            tags.append(_to_name(tag, names))
        except ValueError as error:
            raise ValueError(f"tag {number}: {error}") from None
    return tags

"""Label parsing: raw values of a label column to canonical labels, for the label types, and weights of rows."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.config.names import number_name
from nlpmtl.data.class_labels import UNLABELLED
from nlpmtl.data.column_types import ColumnType, column_type
from nlpmtl.data.example import are_strings
from nlpmtl.data.label_spelling import whole_number
from nlpmtl.registry import COLUMN_TYPES
from nlpmtl.strict_json import has_surrogate

LabelType = str
"""Name of a registered `ColumnType`."""

UNKNOWN_TAG = "_"
"""A tag that is not known, in a column of the type "partial_tags"."""
YES, NO = "1", "0"
"""The label names in a column of flags."""
_FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "True", "TRUE"), YES),
    **dict.fromkeys(("0", "0.0", "false", "False", "FALSE"), NO),
}
_INSTEAD_OF_BLANK = {
    "label": "omit the key, or write null instead of the list for a row without labels",
    "tag": 'every word needs a tag, such as "O" for a word outside of spans',
}
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def to_label(
    value: Any, *, type: LabelType, names: Sequence[str] | None = None, words: Sequence[str] | None = None
) -> Any:
    """Return the canonical label; None for an unlabelled row.

    Args:
        value: the raw value.
        type: the type of the column's labels.
        names: the names of a ClassLabel column, in which −1 means unlabelled.
        words: the row's words; there must be one tag per word.

    Raises:
        ValueError: the rule that the value breaks.
    """
    value = _to_python(value)
    if value is None or (names is not None and value == UNLABELLED):
        return None
    kind = column_type(type)
    if kind.coding in ("name", "number") and isinstance(value, str) and not value.strip():
        return None  # as an empty cell of a table
    return kind.to_stored(value, names=names, words=words)


def is_flag(name: str) -> bool:
    """Return whether a label name can also be read as 0 or 1."""
    return name.strip() in _FLAGS


def is_on(name: str) -> bool:
    """Return whether a name that `is_flag` accepts means 1."""
    return _FLAGS[name.strip()] == YES


def _to_name(value: Any, names: Sequence[str] | None) -> str:
    """Return a label name. A number has the same name as an integer, a float and a decimal."""
    value = _to_python(value)
    if isinstance(value, str):
        if has_surrogate(value):
            raise ValueError("not valid Unicode")
        return str(value)
    if not isinstance(value, int) and not (isinstance(value, float) and math.isfinite(value)):
        raise ValueError("a label name was expected: a string, a number, true or false")
    if names is None:
        return str(value).lower() if isinstance(value, bool) else number_name(value)
    if value != int(value) or not 0 <= value < len(names):
        raise ValueError(f"class id out of range, expected 0 to {len(names) - 1}")
    return names[int(value)]


def _to_python(value: Any) -> Any:
    """Convert NumPy scalars and decimals to Python numbers."""
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
    _check_not_blank(labels, "label")
    if len(set(labels)) < len(labels) and not (names is None and _may_be_multi_hot(value, labels)):
        raise ValueError(f"duplicate label in the list{_not_multi_hot(labels)}")
    return labels


def _not_multi_hot(labels: Sequence[str]) -> str:
    """Return why a list of numbers with repeated ones is not multi-hot, for an error; empty for other lists."""
    others = [label for label in labels if not is_flag(label)]
    if not others or len(others) == len(labels):
        return ""
    return f"; a multi-hot list has only 0 and 1 (or false and true), found {others[0]!r}"


def _may_be_multi_hot(value: Sequence[Any], labels: Sequence[str]) -> bool:
    """Return whether a list may be multi-hot; `is_multi_hot` decides once the task's labels are known."""
    return all(map(is_flag, labels)) and len({isinstance(entry, str) for entry in value}) == 1


def _check_not_blank(names: Sequence[str], what: str) -> None:
    """Raise ValueError if a name in a list is empty or blank."""
    if not all(map(str.strip, names)):
        number = next(number for number, name in enumerate(names, 1) if not name.strip())
        raise ValueError(f"{what} {number} is empty: {_INSTEAD_OF_BLANK[what]}")


def _to_tags(value: Any, names: Sequence[str] | None, words: Sequence[str] | None) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of tags was expected")
    if value and isinstance(value[0], list | tuple | Mapping):
        raise ValueError(
            "spans are tags of words: write `words` instead of `text` for the column in [input]"
            if words is None
            else 'a tag per word was expected; kind = "spans" reads spans of words'
        )
    if words is not None and len(value) != len(words):
        raise ValueError(f"one tag per word was expected: {len(value)} tags for {len(words)} words")
    if names is None and are_strings(value):
        _check_not_blank(value, "tag")
        return list(value)
    missing = next((i for i, tag in enumerate(value, 1) if tag is None or (names is not None and tag == UNLABELLED)), 0)
    if missing:
        raise ValueError(
            f"tag {missing} is missing: write null instead of the list for a row without tags; only "
            'labeling with crf = "partial" reads rows with some of the tags'
        )
    strings = [isinstance(tag, str) for tag in value]
    if any(strings) and not all(strings):
        raise ValueError(f"tag {strings.index(False) + 1} is not a string")
    tags = []
    for number, tag in enumerate(value, 1):
        try:
            tags.append(_to_name(tag, names))
        except ValueError as error:
            raise ValueError(f"tag {number}: {error}") from None
    return tags


@COLUMN_TYPES.register("class")
class ClassLabel(ColumnType):
    """A label name."""

    coding = "name"
    min_labels = 2

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return (value,)

    @classmethod
    def target(cls, value: Any, labels: Sequence[str]) -> int | None:
        return labels.index(value) if value in labels else None

    @classmethod
    def to_stored(cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None) -> str:
        return _to_name(value, names)


@COLUMN_TYPES.register("number")
class Number(ColumnType):
    """A finite number."""

    arrow = pa.float64()
    coding = "number"

    @classmethod
    def to_stored(cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None) -> float:
        return _to_number(value)


@COLUMN_TYPES.register("weight")
class Weight(Number):
    """The weight of a row in training, a number of at least 0."""

    @classmethod
    def to_stored(cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None) -> float:
        weight = _to_number(value)
        if weight < 0:
            raise ValueError("a weight of at least 0 was expected")
        return weight


@COLUMN_TYPES.register("set")
class LabelSet(ColumnType):
    """Any number of label names."""

    arrow = pa.list_(pa.string())
    coding = "names"
    in_list = True
    min_labels = 1
    flag_type = "flag"

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return tuple(value)

    @classmethod
    def target(cls, value: Any, labels: Sequence[str]) -> NDArray[np.float32]:
        names = set(value)
        return np.array([label in names for label in labels], dtype=np.float32)

    @classmethod
    def to_stored(
        cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None
    ) -> list[str]:
        return _to_set(value, names)


@COLUMN_TYPES.register("tags")
class Tags(ColumnType):
    """A label name per word."""

    arrow = pa.list_(pa.string())
    coding = "names"
    in_list = True
    per_word = True
    min_labels = 2

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return tuple(value)

    @classmethod
    def to_stored(
        cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None
    ) -> list[str]:
        return _to_tags(value, names, words)


@COLUMN_TYPES.register("partial_tags")
class PartialTags(Tags):
    """A label name per word, null or "_" for a word whose label is unknown; also −1 in a list of ClassLabels."""

    has_gaps = True

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return (tag for tag in value if tag is not None)

    @classmethod
    def to_stored(  # type: ignore[override]
        cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None
    ) -> list[str | None]:
        if not isinstance(value, list | tuple):
            raise ValueError("a list of tags was expected")
        missing = (None, UNKNOWN_TAG) if names is None else (None, UNKNOWN_TAG, UNLABELLED)
        is_known = [tag not in missing for tag in value]
        filler = next((tag for tag, known in zip(value, is_known, strict=True) if known), "O" if names is None else 0)
        tags = _to_tags([tag if known else filler for tag, known in zip(value, is_known, strict=True)], names, words)
        return [tag if known else None for tag, known in zip(tags, is_known, strict=True)]


@COLUMN_TYPES.register("flag")
class Flag(ColumnType):
    """0 or 1, in a column that is one label of a task."""

    coding = "name"

    @classmethod
    def to_stored(cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None) -> str:
        return _to_flag(value)

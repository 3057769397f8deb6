"""Column profiles: what the values of a column have in common, as plain facts from which rules infer its kind."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any

from nlpmtl.errors import escape_line

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Characters of scripts that do not separate words: Thai, Lao, Burmese, Khmer, Chinese and Japanese."""
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_EXAMPLES = 3
_MAX_CHARACTERS = 24


@dataclass(frozen=True)
class Profile:
    """The values of one column in the rows that were looked at.

    Args:
        name: name of the column.
        values: the values that are not missing. A cell of a table that contains a JSON list or object is parsed.
        missing: number of rows without a value.
        class_names: names of the labels, if the data declare them (ClassLabel).

    Example:
        >>> stars = Profile.of("stars", ["4", "5", "", None, "4"])
        >>> stars.numbers, stars.missing, stars.distinct
        ((4.0, 5.0, 4.0), 2, 2)
    """

    name: str
    values: Sequence[Any]
    missing: int
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, values: Sequence[Any], *, class_names: Sequence[str] = ()) -> Profile:
        """Return the profile of a column.

        Args:
            name: name of the column.
            values: one value per row; those of `is_missing` are missing.
            class_names: names of the labels, if the data declare them.
        """
        present = [value for value in values if not is_missing(value)]
        if present and all(isinstance(value, str) and value[:1] in "[{" for value in present):
            parsed = list(map(_from_json, present))
            present = present if None in parsed else parsed
        return cls(name, present, len(values) - len(present), tuple(class_names))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values) + self.missing

    @cached_property
    def type(self) -> str:
        """The type of all values: "string", "number", "boolean", "list", "object", "other" (a date), or "mixed"."""
        types = {_type(value) for value in self.values}
        return types.pop() if len(types) == 1 else "mixed"

    @cached_property
    def numbers(self) -> tuple[float, ...] | None:
        """The values as numbers; None if not all of them are numbers, or strings that spell one."""
        if self.type == "number":
            return tuple(map(to_float, self.values))
        if self.type == "string" and all(NUMBER.fullmatch(value.strip()) for value in self.values):
            return tuple(map(float, self.values))
        return None

    @cached_property
    def whole_numbers(self) -> tuple[int, ...] | None:
        """The values as integers; None if not all of them are whole numbers of moderate size."""
        if self.numbers is None or not all(number.is_integer() for number in self.numbers):
            return None
        return tuple(map(int, self.numbers))

    @cached_property
    def counts(self) -> Counter[Hashable]:
        """Distinct values (numbers by value, lists and objects by their JSON), the most frequent first."""
        if self.numbers is not None:
            whole = self.whole_numbers
            return Counter(dict(Counter[Hashable](whole if whole is not None else self.numbers).most_common()))
        keys = (value if isinstance(value, Hashable) else json.dumps(value, default=str) for value in self.values)
        return Counter(dict(Counter[Hashable](keys).most_common()))

    @property
    def distinct(self) -> int:
        """Number of distinct values."""
        return len(self.counts)

    @property
    def all_different(self) -> bool:
        """Whether no value occurs twice."""
        return self.distinct == len(self.values)

    @cached_property
    def prose(self) -> float:
        """Fraction of the values that are strings of several words, or in a script without spaces."""
        if self.type != "string":
            return 0.0
        return sum(len(text.split()) > 1 or len(_NO_SPACES.findall(text)) > 1 for text in self.values) / len(
            self.values
        )

    @cached_property
    def mean_words(self) -> float:
        """Mean number of words of a string, or of items of a list."""
        if self.type not in ("string", "list"):
            return 0.0
        return sum(word_count(value) for value in self.values) / max(1, len(self.values))

    @cached_property
    def words_in_name(self) -> frozenset[str]:
        """The words in the name of the column, in lower case: ``{"star", "rating"}`` for ``starRating``."""
        return frozenset(re.split(r"[\W_\d]+", _CAMEL_CASE.sub(" ", self.name).lower())) - {""}

    @cached_property
    def items(self) -> Sequence[Any]:
        """The items of all lists."""
        return [item for value in self.values for item in value] if self.type == "list" else []

    @cached_property
    def item_type(self) -> str:
        """The type of all items of the lists, as in `type`."""
        types = {_type(item) for item in self.items}
        return types.pop() if len(types) == 1 else "mixed"

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The length of each list."""
        return tuple(map(len, self.values)) if self.type == "list" else ()

    @property
    def examples(self) -> str:
        """The most frequent values, or the first ones if all are different, for a table."""
        values = self.values if self.all_different or self.type in ("list", "object") else self.counts
        with_text = (value for value in values if not isinstance(value, str) or value.strip())
        shown = dict.fromkeys(_shorten(value) for value in islice(with_text, _EXAMPLES))
        return ", ".join(shown) + (", …" if self.distinct > _EXAMPLES else "")


def to_float(value: Any) -> float:
    """Return a number, or a string that spells one, as a float; an integer that is too large is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def word_count(value: Any) -> int:
    """Return the number of words of a string, where each character of a script without spaces is a word, or of items
    of a list.
    """
    return len(value) if isinstance(value, list) else len(value.split()) + len(_NO_SPACES.findall(value))


def is_missing(value: Any) -> bool:
    """Return whether a cell has no value: null, a string without text, which is a missing label too, or NaN."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", Decimal: "number", list: "list", dict: "object"}
    return names.get(type(value), "other")


def _from_json(cell: str) -> Any:
    """Return the list or the object in a cell; None if it is not JSON."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = escape_line(text)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"

"""Column types: how the values of a label column are read, stored and compared.

Example:
    >>> from nlpmtl.data import ColumnType
    >>> from nlpmtl.registry import COLUMN_TYPES
    >>> @COLUMN_TYPES.register("range_of_doctest")
    ... class Range(ColumnType):
    ...     @staticmethod
    ...     def parse(value, example):
    ...         return [float(part) for part in value.split("-")]
    >>> Range.from_stored(Range.to_stored("3-5"))
    [3.0, 5.0]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from nlpmtl.data.example import Example
from nlpmtl.registry import COLUMN_TYPES
from nlpmtl.strict_json import dumps

BUILT_IN = frozenset({"class", "number", "set", "tags", "flag"})
"""The types that are stored as numbers or as codes of label names, on which the vectorised paths work."""


class ColumnType:
    """The type of a label column. A parsed value is plain, and metrics see it as the gold label.

    A subclass defines `parse`, and is registered under the name that `Task.columns` gives.
    """

    arrow: ClassVar[pa.DataType] = pa.string()
    """How Arrow stores values; strings are JSON, except in built-in types."""
    min_labels: ClassVar[int] = 0
    """Minimum number of labels of a task that reads such a column."""
    json_schema: ClassVar[Mapping[str, Any]] = {}
    """JSON Schema of a value, for the requests of the server; default: any value."""
    one_column_per_label: ClassVar[bool] = False
    """Whether a task may read a column with 0 and 1 for each label instead."""

    @staticmethod
    def parse(value: Any, example: Example) -> Any:
        """Return a raw value in its plain form; never called with None.

        Args:
            value: the raw value, as the source has it.
            example: the row's input, its further inputs, and the label columns before this one in `Task.columns`.

        Raises:
            ValueError: the rule that the value breaks.
        """
        raise NotImplementedError

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        """Return the label names in a parsed value. Default: none, for a type without a vocabulary."""
        return ()

    @classmethod
    def target(cls, value: Any, labels: Sequence[str]) -> Any:
        """Return what a loss reads of a parsed value, a number or an array; None leaves the row out of the loss.

        Default: the value itself.

        Args:
            value: the parsed value.
            labels: the label names of the task.
        """
        return value

    @classmethod
    def to_stored(cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None) -> Any:
        """Parse a raw value, and return it as it is stored.

        Args:
            value: the raw value.
            names: the names of a ClassLabel column.
            words: the row's words.

        Raises:
            ValueError: the rule that the value breaks.
        """
        return cls.store(cls.parse(value, Example()))

    @classmethod
    def store(cls, value: Any) -> Any:
        """Return a parsed value as Arrow stores it: as JSON, unless `arrow` is another type than a string."""
        return dumps(value) if cls.arrow == pa.string() else value

    @classmethod
    def from_stored(cls, value: Any) -> Any:
        """Return the parsed value."""
        return json.loads(value) if cls.arrow == pa.string() else value


def read_stored(value: Any, *, type: str) -> Any:
    """Return the parsed value of a stored one, for a column type by its name; None for null."""
    return value if value is None or type in BUILT_IN else column_type(type).from_stored(value)


def column_type(name: str) -> type[ColumnType]:
    """Return a registered column type."""
    member = COLUMN_TYPES.get(name)
    assert issubclass(member, ColumnType)
    return member

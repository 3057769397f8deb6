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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from nlpmtl.data.class_labels import UNLABELLED, replace_ids
from nlpmtl.data.example import Example, is_missing
from nlpmtl.errors import ConfigError
from nlpmtl.registry import COLUMN_TYPES
from nlpmtl.strict_json import dumps


class ColumnType:
    """The type of a label column. A parsed value is plain, and metrics see it as the gold label.

    A subclass defines `parse`, and is registered under the name that `Task.columns` gives.
    """

    arrow: ClassVar[pa.DataType] = pa.string()
    """Arrow type of stored values; strings are JSON, except in built-in types."""
    coding: ClassVar[Literal["parsed", "number", "name", "names"]] = "parsed"
    """Representation of values: "parsed", as Arrow stores them; or arrays, on which vectorised code works: "number",
    "name" for a label name, "names" for a list of them."""
    per_word: ClassVar[bool] = False
    """Whether a list has a label name per word."""
    has_gaps: ClassVar[bool] = False
    """Whether a word may have no label, which is null in the list."""
    min_labels: ClassVar[int] = 0
    """Minimum number of labels of a task with such a column."""
    in_list: ClassVar[bool] = False
    """Whether a value is a list, which a cell of a table has as JSON or, with `data.separator`, as its items."""
    reads_class_names: ClassVar[bool] = False
    """Whether `parse` reads the names of a ClassLabel column instead of its integers; of built-in types always."""
    json_schema: ClassVar[Mapping[str, Any]] = {}
    """JSON Schema of a value, for the requests of the server; default: any value."""
    joins_columns: ClassVar[bool] = False
    """Whether a further input may also be given as several columns, whose values are the items of a list."""
    flag_type: ClassVar[str | None] = None
    """Column type of the columns, one per label, that a task may read instead; None: it reads one column only."""

    @staticmethod
    def parse(value: Any, example: Example) -> Any:
        """Return a raw value in its plain form; never called with None.

        Args:
            value: the raw value, as the source has it; a NumPy array and a tuple are a list.
            example: the row's input, its further inputs, and the label columns before this one in `Task.columns`.

        Returns:
            The plain value; None for a row without a label.

        Raises:
            ValueError: the rule that the value breaks.
        """
        raise NotImplementedError("it does not define `parse`")

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        """Return the label names in a parsed value. Default: none, for a type without a vocabulary."""
        return ()

    @staticmethod
    def rename(value: Any, rename: Callable[[str], str]) -> Any:
        """Return a parsed value with other label names, so that those that mean one label become equal.

        A type whose values have label names overrides it, unless it is built on arrays of codes. Default: the value.

        Args:
            value: the parsed value, which must not be modified.
            rename: returns the new name of a label name.
        """
        return value

    @classmethod
    def target(cls, value: Any, labels: Sequence[str]) -> Any:
        """Return the target of a parsed value, a number or an array; None excludes the row from the loss.

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


def join_cells(values: Iterable[Any]) -> list[Any] | None:
    """Return the values of several columns of a row as a list, without missing ones at its end; None if all are.

    >>> join_cells(["a", "b", None])
    ['a', 'b']
    """
    cells = [None if is_missing(value) else value for value in values]
    while cells and cells[-1] is None:
        cells.pop()
    return cells or None


def parse_value(
    value: Any, example: Example, *, type: str, names: Sequence[str] | None = None, store: bool = False
) -> Any:
    """Return the parsed value of a raw one, for a column type by its name; None for the JSON text "null", and for −1 in
    a ClassLabel column.

    Args:
        value: the raw value.
        example: the part of the row that is available to the column type.
        type: the name of the column type.
        names: the names of a ClassLabel column.
        store: return it as Arrow stores it.

    Raises:
        ValueError: the rule that the value breaks, or any other exception that the type raised.
    """
    kind = column_type(type)
    try:
        plain = to_lists(value)
        if names is not None and plain == UNLABELLED:
            return None
        if names is not None and kind.reads_class_names:
            plain = replace_ids(plain, names)
        parsed = kind.parse(plain, example)
        return kind.store(parsed) if store and parsed is not None else parsed
    except ValueError:
        if isinstance(value, str) and value.strip() == "null":  # in a cell of a table
            return None
        raise
    except Exception as error:  # a mistake in a plugin; the caller names the row
        reason = f"{error.__class__.__name__}: {error}"
        raise ValueError(f"the column type {type!r} cannot read this value: {reason}") from error


def to_lists(value: Any) -> Any:
    """Return NumPy values as Python values, and tuples as lists: every source then gives the same values."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: to_lists(item) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    return list(value) if set(map(type, value)) <= {str} else [to_lists(item) for item in value]


def read_stored(value: Any, *, type: str) -> Any:
    """Return the parsed value of a stored one, for a column type by its name; None for null."""
    return value if value is None or is_coded(type) else column_type(type).from_stored(value)


def is_coded(name: str) -> bool:
    """Return whether the values of a column type are kept in arrays of numbers or codes of label names."""
    return column_type(name).coding != "parsed"


def column_type(name: str) -> type[ColumnType]:
    """Return a registered column type."""
    member = COLUMN_TYPES.get(name)
    if not issubclass(member, ColumnType):
        raise ConfigError(f"the column type {name!r}, {member.__qualname__}, is not a subclass of ColumnType")
    return member

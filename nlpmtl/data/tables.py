"""Containers of inputs for prediction: lists, arrays, Series, DataFrames, Datasets, Arrow tables and iterators.

No library is imported for this. A table is recognised by its column names, everything else by being iterable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from nlpmtl.errors import DataError, plain, quote

_NOT_CONTAINERS = (bytes, bytearray, memoryview, int, float, complex)
_ROWS_AT_ONCE = 1000
_SHOWN = 60


@dataclass(frozen=True)
class Container:
    """Several inputs.

    Args:
        name: the container's type, for messages.
        rows: reads the rows in order; of a table only the columns given, as dicts.
        columns: the column names of a table; None for other containers.
        lazy: whether predictions are given as an iterator, because the number of inputs is unknown.
    """

    name: str
    rows: Callable[[Sequence[str]], Iterator[Any]]
    columns: tuple[str, ...] | None
    lazy: bool


def open_container(inputs: Any) -> Container | None:
    """Return the container, or None for a single input: a string, a pair in a tuple, or a mapping.

    Raises:
        DataError: the value is neither an input nor a container of inputs.
    """
    if isinstance(inputs, str | tuple | Mapping):
        return None
    name = type(inputs).__name__
    if inputs is None or isinstance(inputs, (*_NOT_CONTAINERS, set, frozenset)):
        raise DataError(_refuse(inputs))
    names = _column_names(inputs)
    if names is not None:
        columns = [column for column in names if isinstance(column, str)]
        repeated = sorted({plain(column) for column in columns if columns.count(column) > 1})
        if repeated:
            raise DataError(f"the {name} has more than one column of the same name: {', '.join(repeated)}")
        return Container(name, lambda used: _read_table(inputs, used), tuple(columns), lazy=False)
    shape = getattr(inputs, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise DataError(
            f"an array of texts has one dimension, found {name} of shape {shape}; give several pairs as a list of "
            "tuples: list(map(tuple, array))"
        )
    try:
        values = iter(inputs)
    except TypeError:
        raise DataError(_refuse(inputs)) from None
    return Container(name, lambda _: values, None, lazy=not isinstance(inputs, Sized))


def to_plain(value: Any) -> Any:
    """Arrow's scalars as Python values."""
    return value.as_py() if hasattr(value, "as_py") else value


def describe_value(value: object) -> str:
    """A value and its type for a message, such as ``nan (float)``."""
    return "None" if value is None else f"{quote(value, limit=_SHOWN)} ({type(value).__name__})"


def row_labels(inputs: Any) -> tuple[str, ...]:
    """The labels of a Series when they are strings, as those of a row taken out of a DataFrame are."""
    index = getattr(inputs, "index", None)
    if not hasattr(inputs, "iloc") or index is None:
        return ()
    return tuple(label for label in index if isinstance(label, str))


def _refuse(value: object) -> str:
    return (
        'input 1: a text, a pair (text, pair), a row such as {"words": [...]}, or a list, array, table or iterator '
        f"of these was expected, found {describe_value(value)}"
    )


def _column_names(value: Any) -> list[Any] | None:
    """The column names of a table that can be read by column; None for everything else."""
    if isinstance(value, type) or not hasattr(value, "__getitem__") or not isinstance(value, Sized):
        return None
    names = getattr(value, "column_names", None)  # datasets and pyarrow, whose `columns` are arrays
    if names is None:
        names = getattr(value, "columns", None)
    return None if names is None or callable(names) else list(names)


def _read_table(table: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if hasattr(table, "select_columns") and hasattr(table, "with_format"):  # datasets.Dataset
        for batch in table.select_columns(list(columns)).with_format(None).iter(batch_size=_ROWS_AT_ONCE):
            yield from _rows(columns, [batch[column] for column in columns])
    else:
        yield from _rows(columns, [table[column] for column in columns])


def _rows(columns: Sequence[str], values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))

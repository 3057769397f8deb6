"""Containers of inputs: a list, an array, a Series, a DataFrame, a Dataset, an Arrow table or an iterator.

No library is imported for this: a table is recognised by its column names, any other container by being iterable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from nlpmtl.data import describe_value
from nlpmtl.data.raw_rows import check_distinct
from nlpmtl.errors import DataError

_NOT_CONTAINERS = (bytes, bytearray, memoryview, int, float, complex)
_ROWS_PER_BATCH = 1000


@dataclass(frozen=True)
class Container:
    """Several inputs.

    Args:
        name: the name of the container's type, for messages.
        rows: reads the inputs in order; from a table the given columns, as dicts.
        columns: the column names of a table; None for other containers.
        lazy: whether predictions are returned as an iterator, because the number of inputs is unknown.
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
        raise DataError(_type_error(inputs))
    names = _column_names(inputs)
    if names is not None:
        columns = [column for column in names if isinstance(column, str)]
        if names and not columns:
            raise DataError(
                f"the column names of the {name} are not strings, found {describe_value(names[0])}: set its columns to "
                'names such as ["text", …]'
            )
        check_distinct(columns, where=f"the {name}")
        return Container(name, lambda used: _read_table(inputs, used), tuple(columns), lazy=False)
    shape = getattr(inputs, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise DataError(
            f"an array of texts must have one dimension, found {name} of shape {shape}; pass pairs as a list of "
            "tuples: list(map(tuple, array))"
        )
    try:
        values = iter(inputs)
    except TypeError:
        raise DataError(_type_error(inputs)) from None
    return Container(name, lambda _: values, None, lazy=not isinstance(inputs, Sized))


def _type_error(value: object) -> str:
    return (
        'input 1: a text, a pair (text, pair), a row such as {"words": [...]}, or a list, array, table or iterator '
        f"of these was expected, found {describe_value(value)}"
    )


def _column_names(value: Any) -> list[Any] | None:
    """Return the column names of a table; None for other values."""
    if isinstance(value, type) or not hasattr(value, "__getitem__") or not isinstance(value, Sized):
        return None
    names = getattr(value, "column_names", None)  # datasets and pyarrow, whose `columns` are arrays
    if names is None:
        names = getattr(value, "columns", None)
    return None if names is None or callable(names) else list(names)


def _read_table(table: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if hasattr(table, "select_columns") and hasattr(table, "with_format"):  # datasets.Dataset
        for batch in table.select_columns(list(columns)).with_format(None).iter(batch_size=_ROWS_PER_BATCH):
            yield from _rows(columns, [batch[column] for column in columns])
    else:
        yield from _rows(columns, [table[column] for column in columns])


def _rows(columns: Sequence[str], values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))

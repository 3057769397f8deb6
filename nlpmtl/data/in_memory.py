"""Rows that Python hands over: a list of dicts, or a DataFrame."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRows, check_distinct

_ROWS_AT_ONCE = 1000


def open_list(rows: Sequence[Any], *, where: str) -> RawRows:
    """The rows of a list of dicts."""
    return RawRows(where, ", row ", _read_list(rows))


def open_dataframe(frame: Any, *, where: str, columns: Collection[str]) -> RawRows:
    """The rows of a pandas DataFrame; its missing values are null."""
    found = list(frame.columns)
    check_distinct(found, where=where)
    needed = [column for column in found if column in columns]
    return RawRows(where, ", row ", _read_frame(frame, columns=needed), columns=found)


def is_dataframe(value: object) -> bool:
    """Whether a value is a pandas DataFrame: asked by name, because pandas may be absent and is slow to import."""
    return any(
        base.__module__.partition(".")[0] == "pandas" and base.__name__ == "DataFrame" for base in type(value).__mro__
    )


def _read_list(rows: Sequence[Any]) -> NumberedRows:
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            yield number, {column: _plain(value) for column, value in row.items()}
        else:
            yield number, MalformedRow(row, "a dict was expected")


def _read_frame(frame: Any, *, columns: list[str]) -> NumberedRows:
    for start in range(0, len(frame), _ROWS_AT_ONCE):
        chunk = frame.iloc[start : start + _ROWS_AT_ONCE][columns]
        cells = chunk.astype(object).where(chunk.notna(), None)
        for number, row in enumerate(cells.to_dict("records"), start + 1):
            yield number, {column: _plain(value) for column, value in row.items()}


def _plain(value: Any) -> Any:
    """NumPy's values as Python's, and the missing values of pandas (NA, NaT) as None."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return None if type(value).__name__ in ("NAType", "NaTType") else value

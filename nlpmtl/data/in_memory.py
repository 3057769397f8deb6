"""In-memory sources: a list of dicts, or a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from nlpmtl.data.raw_rows import MalformedRow, NumberedRows, RawRows, check_distinct

_ROWS_PER_BATCH = 1000


def open_list(rows: Sequence[Any], *, where: str) -> RawRows:
    """Return the rows of a list of dicts."""
    return RawRows(where, ", row ", _read_list(rows))


def open_dataframe(frame: Any, *, where: str, columns: Collection[str]) -> RawRows:
    """Return the rows of a pandas DataFrame; missing values become None."""
    existing = list(frame.columns)
    check_distinct(existing, where=where)
    needed = [column for column in existing if column in columns]
    return RawRows(where, ", row ", _read_frame(frame, columns=needed), columns=existing)


def is_dataframe(value: object) -> bool:
    """Return whether a value is a pandas DataFrame, without importing pandas."""
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
    for start in range(0, len(frame), _ROWS_PER_BATCH):
        chunk = frame.iloc[start : start + _ROWS_PER_BATCH][columns]
        cells = chunk.astype(object).where(chunk.notna(), None)
        for number, row in enumerate(cells.to_dict("records"), start + 1):
            yield number, {column: _plain(value) for column, value in row.items()}


def _plain(value: Any) -> Any:
    """Convert NumPy values to Python values, and the missing values of pandas (NA, NaT) to None."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return None if type(value).__name__ in ("NAType", "NaTType") else value

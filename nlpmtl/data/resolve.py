"""Label columns as one task reads them: indices become the names of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nlpmtl.data.columns import NO_CODE, Column
from nlpmtl.data.prepare import Prepared
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.spelling import whole_number
from nlpmtl.errors import DataError, quote

_UNLABELLED = -1


def resolve(prepared: Prepared, column: str, *, declared: Sequence[str] | None) -> Column:
    """Return the labels of one task with their names.

    Args:
        prepared: the rows of a split.
        column: the column.
        declared: the task's `labels`, where the config lists them.

    Raises:
        DataError: an integer is no index into `declared`.
    """
    first = prepared.columns[column]
    if first.shape == "number" or declared is None:
        return first
    return _read_indices(prepared, column, declared=declared)


def _read_indices(prepared: Prepared, name: str, *, declared: Sequence[str]) -> Column:
    """Integers become the declared labels at these indices, where none of these labels is an integer itself."""
    column = prepared.columns[name]
    numbers = [whole_number(found) for found in column.names]
    if not numbers or None in numbers or any(whole_number(label) is not None for label in declared):
        return column
    if numbers == [_UNLABELLED] and not isinstance(column.values, Ragged):  # as in GLUE's test splits
        labelled = np.zeros_like(column.labelled)
        return replace(column, names=(), labelled=labelled, values=np.full(len(labelled), NO_CODE, dtype=np.int32))
    for found, number in zip(column.names, numbers, strict=True):
        if number is None or not 0 <= number < len(declared):
            place = prepared.place(column.first_row(found))
            raise DataError(
                f"{place}: {name}: {quote(found, most=40)} is not in the list of labels. "
                f"Integers are indices into `labels`, from 0 to {len(declared) - 1}"
            )
    return column.rename([declared[number] for number in numbers if number is not None])

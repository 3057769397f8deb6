"""Missing labels written as text, such as ``nan`` in a column of numbers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from nlpmtl.data.label_columns import NO_CODE, LabelColumn
from nlpmtl.data.label_spelling import is_boolean, is_number
from nlpmtl.data.ragged import Ragged

_MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""The values that pandas reads as missing, besides the empty cell."""


def is_missing_value(name: str) -> bool:
    """Return whether a name is a value that pandas reads as missing."""
    return name.strip() in _MISSING


def split_missing(
    names: Collection[str], *, declared: Collection[str] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that are missing labels, and those that may be.

    A value that pandas reads as missing is a missing label if all other names are numbers or all are booleans. Among
    other names it is a label, because ``NA`` may be Namibia and ``None`` a class. A declared label is never missing.

    Args:
        names: the label names in the data.
        declared: the labels that the task has, if they are known.

    Example:
        >>> split_missing(["1", "2.5", "nan"])
        (('nan',), ())
        >>> split_missing(["DE", "NA"])
        ((), ('NA',))
    """
    listed = {name.strip() for name in declared or ()}
    missing = tuple(name for name in names if is_missing_value(name) and name.strip() not in listed)
    others = [name for name in names if not is_missing_value(name)]
    if others and (all(map(is_number, others)) or all(map(is_boolean, others))):
        return missing, ()
    return (), missing


def drop_names(column: LabelColumn, names: Collection[str]) -> LabelColumn:
    """Return a column of single labels in which the rows with some of the names are unlabelled."""
    assert not isinstance(column.values, Ragged)
    kept = [name for name in column.names if name not in names]
    if len(kept) == len(column.names):
        return column
    codes = {name: code for code, name in enumerate(kept)}
    table = np.array([*(codes.get(name, NO_CODE) for name in column.names), NO_CODE], dtype=np.int32)
    values = table[column.values]
    return replace(column, names=tuple(kept), labelled=column.labelled & (values != NO_CODE), values=values)

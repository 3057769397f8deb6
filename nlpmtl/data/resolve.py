"""Label columns as one task reads them: 0/1 columns, multi-hot lists and indices become the names of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.label_columns import NO_CODE, LabelColumn
from nlpmtl.data.label_spelling import whole_number
from nlpmtl.data.labels import YES, is_flag, is_on
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.errors import DataError, quote

_UNLABELLED = -1


def resolve_labels(
    prepared: TokenizedSplit, columns: Sequence[str], *, declared: Sequence[str] | None, multi_hot: bool = False
) -> LabelColumn:
    """Return the labels of one task with their names.

    Args:
        prepared: the rows of a split.
        columns: one column, or several columns of flags that are the labels of one task.
        declared: the task's `labels`, where the config lists them.
        multi_hot: whether the lists of the column are multi-hot.

    Raises:
        DataError: an integer or a list does not go with `declared`.
    """
    first = prepared.columns[columns[0]]
    if first.shape == "flag":
        return _join_flags([prepared.columns[column] for column in columns], columns)
    if first.shape == "number":
        return first
    if first.shape == "set":
        if multi_hot:
            return _read_multi_hot(prepared, columns[0], declared=declared)
        repeated = _repeats(first) if any(map(is_flag, first.names)) else np.zeros(0, dtype=np.int64)
        if len(repeated):
            raise DataError(f"{prepared.place(int(repeated[0]))}: {columns[0]}: a label stands twice in the list")
    if declared is not None:
        return _read_indices(prepared, columns[0], declared=declared)
    return first


def _join_flags(flags: Sequence[LabelColumn], names: Sequence[str]) -> LabelColumn:
    """One column of sets: the names of the columns that hold 1. A row with a gap in any of them is unlabelled."""
    labelled = np.logical_and.reduce([flag.labelled for flag in flags])
    hot = np.stack([_equal(flag, YES) for flag in flags], axis=1) & labelled[:, None]
    return _sets(hot, names=names, labelled=labelled)


def _equal(column: LabelColumn, name: str) -> NDArray[np.bool_]:
    assert not isinstance(column.values, Ragged)
    code = column.names.index(name) if name in column.names else len(column.names)
    equal: NDArray[np.bool_] = column.values == code
    return equal


def _sets(hot: NDArray[np.bool_], *, names: Sequence[str], labelled: NDArray[np.bool_]) -> LabelColumn:
    """A column of sets from a matrix, ``[rows, labels]``."""
    bounds = np.zeros(len(hot) + 1, dtype=np.int64)
    np.cumsum(hot.sum(axis=1), out=bounds[1:])
    codes = np.nonzero(hot)[1].astype(np.int32)
    column = LabelColumn("set", tuple(names), labelled, Ragged(codes, bounds))
    return _drop_unused(column)


def _drop_unused(column: LabelColumn) -> LabelColumn:
    """Keep only the names that occur."""
    assert isinstance(column.values, Ragged)
    used = np.unique(column.values.values)
    table = np.zeros(len(column.names), dtype=np.int32)
    table[used] = np.arange(len(used))
    names = tuple(column.names[code] for code in used)
    return replace(column, names=names, values=Ragged(table[column.values.values], column.values.bounds))


def is_multi_hot(splits: Collection[TokenizedSplit], column: str, *, declared: Sequence[str] | None) -> bool:
    """Whether each list of a column has an entry for every label, 0 or 1, in place of the names of some labels.

    A list in which an entry occurs twice can only be multi-hot, as it is no set of names. Without such a list all lists
    must have as many entries as there are declared labels (undeclared: the same number, at least two), and 0 and 1 must
    not be labels themselves.

    Args:
        splits: the splits of a dataset, which are read alike.
        column: the column.
        declared: the task's `labels`, where the config lists them.
    """
    found = [prepared.columns[column] for prepared in splits]
    names = {name for one in found for name in one.names}
    classes = any(column in prepared.class_names for prepared in splits)
    if classes or not names or not all(map(is_flag, names)) or any(one.shape != "set" for one in found):
        return False
    if any(len(_repeats(one)) for one in found):
        return True
    lengths = {int(n) for one in found if isinstance(one.values, Ragged) for n in one.values.lengths[one.labelled]}
    if declared is None:
        return len(lengths) == 1 and max(lengths) > 1
    return lengths == {len(declared)} and not any(map(is_flag, declared))


def _repeats(column: LabelColumn) -> NDArray[np.int64]:
    """The rows in which a value occurs twice."""
    assert isinstance(column.values, Ragged)
    row, _ = column.values.indices_2d()
    pairs, counts = np.unique(row * max(1, len(column.names)) + column.values.values, return_counts=True)
    rows: NDArray[np.int64] = pairs[counts > 1] // max(1, len(column.names))
    return rows


def _read_multi_hot(prepared: TokenizedSplit, name: str, *, declared: Sequence[str] | None) -> LabelColumn:
    column = prepared.columns[name]
    assert isinstance(column.values, Ragged)
    lengths = column.values.lengths
    if declared is None:
        row = int(np.argmax(column.labelled & (lengths > 0)))
        raise DataError(
            f"{prepared.place(row)}: {name}: the lists hold only 0 and 1, so they seem to have an entry for each "
            f'label. Write the names of the {lengths[row]} labels in the order of the entries: labels = ["…", …]'
        )
    wrong = np.flatnonzero(column.labelled & (lengths != len(declared)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{prepared.place(row)}: {name}: a list of 0 and 1 has an entry for each of the {len(declared)} `labels`, "
            f"found {lengths[row]}"
        )
    on = np.array([is_on(value) for value in column.names], dtype=np.bool_)
    hot = np.zeros((len(lengths), len(declared)), dtype=np.bool_)
    hot[column.labelled] = on[column.values.values].reshape(-1, len(declared))
    return _sets(hot, names=declared, labelled=column.labelled)


def _read_indices(prepared: TokenizedSplit, name: str, *, declared: Sequence[str]) -> LabelColumn:
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

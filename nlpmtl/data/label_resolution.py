"""Label columns as one task reads them: 0/1 columns, multi-hot lists and indices become label names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.column_types import column_type
from nlpmtl.data.label_columns import NO_CODE, LabelColumn
from nlpmtl.data.label_spelling import is_number, whole_number
from nlpmtl.data.labels import YES, Flag, is_flag, is_on
from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.errors import DataError, quote

_UNLABELLED = -1


def resolve_labels(
    split: TokenizedSplit, columns: Sequence[str], *, declared: Sequence[str] | None, multi_hot: bool = False
) -> LabelColumn:
    """Return the labels of one task, with label names.

    Args:
        split: the rows.
        columns: one label column, or several 0/1 columns that are the labels of one task.
        declared: the task's `labels` in the config, if given.
        multi_hot: whether the lists of the column are multi-hot.

    Raises:
        DataError: an integer or a list does not fit `declared`.
    """
    first = split.named_column(columns[0])
    type_ = column_type(first.type)
    if _is_flag_column(first):
        return _join_flags([split.columns[column] for column in columns], columns)
    if type_.coding in ("number", "parsed"):
        return first
    if multi_hot:
        return _read_multi_hot(split, columns[0], declared=declared)
    if declared is not None:
        return _read_indices(split, columns[0], declared=declared)
    return first


def _is_flag_column(column: LabelColumn) -> bool:
    return issubclass(column_type(column.type), Flag)


def _join_flags(flags: Sequence[LabelColumn], names: Sequence[str]) -> LabelColumn:
    """Return one column of sets: the names of the columns with a 1. A row with a gap in any column is unlabelled."""
    labelled = np.logical_and.reduce([flag.labelled for flag in flags])
    hot = np.stack([_equal(flag, YES) for flag in flags], axis=1) & labelled[:, None]
    return _from_multi_hot(hot, names=names, labelled=labelled)


def _equal(column: LabelColumn, name: str) -> NDArray[np.bool_]:
    assert not isinstance(column.values, Ragged)
    code = column.names.index(name) if name in column.names else len(column.names)
    equal: NDArray[np.bool_] = column.values == code
    return equal


def _from_multi_hot(hot: NDArray[np.bool_], *, names: Sequence[str], labelled: NDArray[np.bool_]) -> LabelColumn:
    """Return a column of sets from a multi-hot matrix, ``[rows, labels]``."""
    codes = np.nonzero(hot)[1].astype(np.int32)
    column = LabelColumn("set", tuple(names), labelled, Ragged(codes, row_bounds(hot.sum(axis=1))))
    return _drop_unused_names(column)


def _drop_unused_names(column: LabelColumn) -> LabelColumn:
    assert isinstance(column.values, Ragged)
    used = np.unique(column.values.values)
    table = np.zeros(len(column.names), dtype=np.int32)
    table[used] = np.arange(len(used))
    names = tuple(column.names[code] for code in used)
    return replace(column, names=names, values=Ragged(table[column.values.values], column.values.bounds))


def is_multi_hot(splits: Collection[TokenizedSplit], column: str, *, declared: Sequence[str] | None) -> bool:
    """Return whether the lists of a column have an entry of 0 or 1 for every label, instead of label names.

    A list with a repeated entry can only be multi-hot, because it is not a set of names. Without such a list, all
    lists must have one entry per declared label (without declared labels: the same length), and 0 and 1 must not be
    declared labels themselves.

    Args:
        splits: the splits of a dataset, which are all read in the same way.
        column: the name of the column.
        declared: the task's `labels` in the config, if given.

    Raises:
        DataError: some lists are multi-hot and others have names, or the lists have probabilities.
    """
    columns = [split.columns[column] for split in splits]
    names = {name for split_column in columns for name in split_column.names}
    has_classes = any(column in split.class_names for split in splits)
    are_sets = all(column_type(split_column.type).flag_type is not None for split_column in columns)
    if has_classes or not are_sets or not names:
        return False
    if not all(map(is_flag, names)):
        _check_not_mixed(splits, column, declared=declared)
        return False
    if any(len(_rows_with_repeats(split_column)) for split_column in columns):
        return True
    lengths = _lengths(columns)
    if max(lengths) > 1:
        lengths.discard(0)  # a row without labels, which is an error if the other lists are multi-hot
    if declared is None:
        return len(lengths) == 1
    return lengths == {len(declared)} and not any(map(is_flag, declared))


def _lengths(columns: Collection[LabelColumn]) -> set[int]:
    """Return the lengths of all lists."""
    return {int(n) for c in columns if isinstance(c.values, Ragged) for n in c.values.lengths[c.labelled]}


def _check_not_mixed(splits: Collection[TokenizedSplit], name: str, *, declared: Sequence[str] | None) -> None:
    """Raise DataError if a list is multi-hot although another has label names, or if the lists have probabilities."""
    other_split, other = next((s, n) for s in splits for n in s.columns[name].names if not is_flag(n))
    place = other_split.place(other_split.columns[name].first_row(other))
    numbers = [float(n) for split in splits for n in split.columns[name].names if is_number(n)]
    every = [n for split in splits for n in split.columns[name].names]
    lengths = _lengths([split.columns[name] for split in splits])
    if (
        len(numbers) == len(every)
        and all(0 <= number <= 1 for number in numbers)
        and len(lengths) == 1
        and max(lengths) > 1
        and not any(map(is_number, declared or ()))
    ):
        raise DataError(
            f"{place}: {name}: the lists have numbers between 0 and 1, such as {other}, which are not labels. Write "
            "0 or 1 for each label, or the names of the labels"
        )
    for split in splits:
        row = _first_multi_hot(split.columns[name], declared=declared)
        if row is not None:
            raise DataError(
                f"{split.place(row)}: {name}: the list has only 0 and 1, as a multi-hot list, but {place} has "
                f"{quote(other, limit=40)}. Write all lists in one way: 0 or 1 for each of the `labels`, or label names"
            )


def _first_multi_hot(column: LabelColumn, *, declared: Sequence[str] | None) -> int | None:
    """Return the first row that can only be multi-hot: 0 or 1 twice, or several among names without `labels`."""
    repeated = _rows_with_repeats(column)
    if len(repeated):
        return int(repeated[0])
    if declared is not None or all(map(is_number, column.names)):
        return None
    assert isinstance(column.values, Ragged)
    flags = np.array([is_flag(value) for value in column.names], dtype=np.bool_)
    row, _ = column.values.indices_2d()
    hot = np.bincount(row, weights=flags[column.values.values], minlength=len(column.labelled))
    rows = np.flatnonzero((hot == column.values.lengths) & (hot > 1))
    return int(rows[0]) if len(rows) else None


def _rows_with_repeats(column: LabelColumn) -> NDArray[np.int64]:
    """Return the rows in which a value occurs twice."""
    assert isinstance(column.values, Ragged)
    row, _ = column.values.indices_2d()
    pairs, counts = np.unique(row * max(1, len(column.names)) + column.values.values, return_counts=True)
    rows: NDArray[np.int64] = pairs[counts > 1] // max(1, len(column.names))
    return rows


def _read_multi_hot(split: TokenizedSplit, name: str, *, declared: Sequence[str] | None) -> LabelColumn:
    column = split.columns[name]
    assert isinstance(column.values, Ragged)
    lengths = column.values.lengths
    if declared is None:
        row = int(np.argmax(column.labelled & (lengths > 0)))
        raise DataError(
            f"{split.place(row)}: {name}: the lists contain only 0 and 1, so they seem to be multi-hot. Write the "
            f'{_names_in_order(int(lengths[row]))}. If 0 and 1 are label names, write labels = ["0", "1"]'
        )
    wrong = np.flatnonzero(column.labelled & (lengths != len(declared)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{split.place(row)}: {name}: a multi-hot list needs one entry for each of the {len(declared)} `labels`, "
            f"found {lengths[row]}"
        )
    on = np.array([is_on(value) for value in column.names], dtype=np.bool_)
    hot = np.zeros((len(lengths), len(declared)), dtype=np.bool_)
    hot[column.labelled] = on[column.values.values].reshape(-1, len(declared))
    return _from_multi_hot(hot, names=declared, labelled=column.labelled)


def _names_in_order(count: int) -> str:
    if count == 1:
        return 'name of the label: labels = ["…"]'
    return f'names of the {count} labels in the order of the entries: labels = ["…", …]'


def _read_indices(split: TokenizedSplit, name: str, *, declared: Sequence[str]) -> LabelColumn:
    """Read integers as indices into the declared labels, unless a declared label is a number itself."""
    column = split.columns[name]
    numbers = [whole_number(label) for label in column.names]
    if not numbers or None in numbers or any(map(is_number, declared)):
        return column
    if numbers == [_UNLABELLED] and not isinstance(column.values, Ragged):  # as in GLUE's test splits
        labelled = np.zeros_like(column.labelled)
        return replace(column, names=(), labelled=labelled, values=np.full(len(labelled), NO_CODE, dtype=np.int32))
    for label, number in zip(column.names, numbers, strict=True):
        if number is None or not 0 <= number < len(declared):
            place = split.place(column.first_row(label))
            raise DataError(
                f"{place}: {name}: {quote(label, limit=40)} is not in the list of labels. "
                f"Integers are indices into `labels`, from 0 to {len(declared) - 1}"
            )
    return column.rename([declared[number] for number in numbers if number is not None])

"""Label columns as arrays of codes, before the labels of any task are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import to_numpy
from nlpmtl.data.column_types import column_type
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged, row_bounds

NO_CODE = -1
"""The code of a row without a label."""


@dataclass(frozen=True)
class LabelColumn:
    """The labels in one column of one split.

    Args:
        type: the type of a label.
        names: the label names in the column, in order of appearance; empty for numbers. For a column type that is not
            built in, they are read by `TokenizedSplit.named_column`.
        labelled: whether each row has a label, ``[rows]``.
        values: numbers (NaN for no label) or codes, which are indices into ``names``: one per row, ``[rows]``, or a
            list per row. For a column type that is not built in, the same array as ``labelled``: the values themselves
            are in the Arrow table of the rows.
        renamed: label name in the Arrow table → its new name, for a column type that is not built in; empty if
            all names are unchanged.
    """

    type: LabelType
    names: tuple[str, ...]
    labelled: NDArray[np.bool_]
    values: NDArray[Any] | Ragged
    renamed: Mapping[str, str] = field(default_factory=dict)

    def rename(self, names: Sequence[str]) -> LabelColumn:
        """Return the same labels with new names, one per old name. Labels with equal new names become one label."""
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        if tuple(names) != self.names and column_type(self.type).coding == "parsed":
            table_of_names = dict(zip(self.names, names, strict=True))
            renamed = self.renamed or {name: name for name in self.names}
            renamed = {stored: table_of_names[name] for stored, name in renamed.items()}
            return replace(self, names=tuple(codes), renamed=renamed)
        if len(codes) == len(names) or column_type(self.type).coding == "number":
            return self if tuple(names) == self.names else replace(self, names=tuple(names))
        table: NDArray[np.int32] = np.array([*(codes[name] for name in names), NO_CODE], dtype=np.int32)
        if not isinstance(self.values, Ragged):
            return replace(self, names=tuple(codes), values=table[self.values])
        values = Ragged(table[self.values.values], self.values.bounds)
        values = values if column_type(self.type).per_word else _deduplicate(values)
        return replace(self, names=tuple(codes), values=values)

    def value(self, row: int) -> Any:
        """Return the label of a row, of a built-in type: a name, a number, or a list of names; None without one."""
        if not self.labelled[row]:
            return None
        if isinstance(self.values, Ragged):
            names = (*self.names, None)  # the code −1 is an unknown tag
            return [names[code] for code in self.values[row].tolist()]
        value = self.values[row].item()
        return value if column_type(self.type).coding == "number" else self.names[value]

    def first_row(self, name: str) -> int:
        """Return the first row that has a label."""
        code, values = self.names.index(name), self.values
        if isinstance(values, Ragged):
            return values.row_of(int(np.argmax(values.values == code)))
        return int(np.argmax(values == code))

    @classmethod
    def from_arrow(cls, column: pa.ChunkedArray, type_: LabelType) -> LabelColumn:
        """Return a column of canonical labels of an Arrow table."""
        coding, labelled = column_type(type_).coding, to_numpy(column.is_valid())
        if coding == "parsed":
            return cls(type_, (), labelled, labelled)
        if coding == "number":
            return cls(type_, (), labelled, to_numpy(column.fill_null(np.nan)))
        names, codes = _encode(column if coding == "name" else pc.list_flatten(column))
        if coding == "name":
            return cls(type_, names, labelled, codes)
        lengths = to_numpy(pc.list_value_length(column).fill_null(0))
        return cls(type_, names, labelled, Ragged(codes, row_bounds(lengths)))


def _encode(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.integer]]:
    """Return the different names in a column in order of appearance, and the index of each row's name in them."""
    names = pc.unique(column).drop_null()
    dtype = np.min_scalar_type(-max(1, len(names)))
    chunks = (pc.index_in(chunk, value_set=names).fill_null(NO_CODE) for chunk in column.chunks)
    codes = [np.zeros(0, dtype), *(chunk.to_numpy().astype(dtype) for chunk in chunks)]
    return tuple(names.to_pylist()), np.concatenate(codes)


def _deduplicate(sets: Ragged) -> Ragged:
    """Keep each value of a row once, at its first position."""
    row, _ = sets.indices_2d()
    stride = int(sets.values.max(initial=0)) + 1
    first = np.sort(np.unique(row * stride + sets.values, return_index=True)[1])
    return Ragged(sets.values[first], row_bounds(np.bincount(row[first], minlength=len(sets))))

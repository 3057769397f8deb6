"""Columns of labels as arrays, before any task has said which labels it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.arrays import ArrayWriter, RaggedWriter, memmap_array, memmap_ragged
from nlpmtl.data.labels import LIST_TYPES, LabelType
from nlpmtl.data.ragged import Ragged

NO_CODE = -1
"""The code of a row without a label."""


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one column on one split.

    Args:
        shape: what a label is.
        names: the names that occur, the first one first; none for numbers.
        labelled: whether each row has a label, ``[rows]``.
        values: numbers, NaN where there is none, or codes, which are places in ``names``: one a row, ``[rows]``, or
            several.
    """

    shape: LabelType
    names: tuple[str, ...]
    labelled: NDArray[np.bool_]
    values: NDArray[Any] | Ragged

    def facts(self) -> dict[str, Any]:
        """What is not in the arrays: plain values."""
        return {"shape": self.shape, "names": list(self.names)}

    def rename(self, names: Sequence[str]) -> LabelColumn:
        """The same labels under other names, one for each of `names`. Labels with equal new names become one."""
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        if len(codes) == len(names) or self.shape == "number":
            return self if tuple(names) == self.names else replace(self, names=tuple(names))
        table: NDArray[np.int32] = np.array([*(codes[name] for name in names), NO_CODE], dtype=np.int32)
        if not isinstance(self.values, Ragged):
            return replace(self, names=tuple(codes), values=table[self.values])
        values = Ragged(table[self.values.values], self.values.bounds)
        return replace(self, names=tuple(codes), values=_distinct(values) if self.shape == "set" else values)

    def first_row(self, name: str) -> int:
        """The first row that has a label."""
        code, values = self.names.index(name), self.values
        if isinstance(values, Ragged):
            return values.row_of(int(np.argmax(values.values == code)))
        return int(np.argmax(values == code))

    @classmethod
    def read(cls, directory: Path, name: str, *, facts: Mapping[str, Any]) -> LabelColumn:
        """What a `ColumnWriter` wrote."""
        shape, labelled = facts["shape"], memmap_array(directory / f"{name}.labelled.npy")
        values = memmap_ragged(directory, name) if shape in LIST_TYPES else memmap_array(directory / f"{name}.npy")
        return cls(shape, tuple(facts["names"]), labelled, values)


class ColumnWriter:
    """A column of labels, of which parts come one after another.

    Args:
        directory: where to write its arrays; None keeps them in memory.
        name: of their files.
        shape: what a label is.
    """

    def __init__(self, directory: Path | None, name: str, *, shape: LabelType) -> None:
        self._shape = shape
        self._codes: dict[str, int] = {}
        self._labelled = ArrayWriter(directory, f"{name}.labelled", dtype=np.bool_)
        self._values: ArrayWriter | RaggedWriter
        if shape in LIST_TYPES:
            self._values = RaggedWriter(directory, name)
        else:
            self._values = ArrayWriter(directory, name, dtype=np.float64 if shape == "number" else np.int32)

    def append(self, values: pa.Array) -> None:
        """Add the canonical labels of some rows."""
        self._labelled.append(values.is_valid().to_numpy(zero_copy_only=False))
        if isinstance(self._values, RaggedWriter):
            lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
            bounds = np.zeros(len(values) + 1, dtype=np.int64)
            np.cumsum(lengths, out=bounds[1:])
            self._values.append(Ragged(self._encode(values.flatten()), bounds))
        elif self._shape == "number":
            self._values.append(pc.fill_null(values, np.nan).to_numpy())
        else:
            self._values.append(self._encode(values))

    def close(self) -> LabelColumn:
        """The whole column."""
        return LabelColumn(self._shape, tuple(self._codes), self._labelled.close(), self._values.close())

    def _encode(self, names: pa.Array) -> NDArray[np.int32]:
        found = names.dictionary_encode()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in found.dictionary.to_pylist()]
        places = pc.fill_null(found.indices, len(codes)).to_numpy()
        table: NDArray[np.int32] = np.array([*codes, NO_CODE], dtype=np.int32)
        codes_of_rows: NDArray[np.int32] = table[places]
        return codes_of_rows


def _distinct(sets: Ragged) -> Ragged:
    """Each value once in its row, at its first place."""
    row, _ = sets.indices_2d()
    apart = int(sets.values.max(initial=0)) + 1
    first = np.sort(np.unique(row * apart + sets.values, return_index=True)[1])
    bounds = np.zeros(len(sets) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[first], minlength=len(sets)), out=bounds[1:])
    return Ragged(sets.values[first], bounds)

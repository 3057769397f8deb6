"""Label columns as arrays of codes, before the labels of any task are known."""

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
from nlpmtl.data.column_types import column_type
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged

NO_CODE = -1
"""The code of a row without a label."""


@dataclass(frozen=True)
class LabelColumn:
    """The labels in one column of one split.

    Args:
        type: the type of a label.
        names: the label names in the column, in order of appearance; empty for numbers.
        labelled: whether each row has a label, ``[rows]``.
        values: numbers (NaN for no label) or codes, which are indices into ``names``: one per row, ``[rows]``, or a
            list per row. Of a type that is not built in they are `labelled`: its values are in the Arrow file.
    """

    type: LabelType
    names: tuple[str, ...]
    labelled: NDArray[np.bool_]
    values: NDArray[Any] | Ragged

    def metadata(self) -> dict[str, Any]:
        """Return everything but the arrays, as plain values."""
        return {"type": self.type, "names": list(self.names)}

    def rename(self, names: Sequence[str]) -> LabelColumn:
        """Return the same labels with new names, one per old name. Labels with equal new names become one label."""
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
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
            return [self.names[code] for code in self.values[row].tolist()]
        value = self.values[row].item()
        return value if column_type(self.type).coding == "number" else self.names[value]

    def first_row(self, name: str) -> int:
        """Return the first row that has a label."""
        code, values = self.names.index(name), self.values
        if isinstance(values, Ragged):
            return values.row_of(int(np.argmax(values.values == code)))
        return int(np.argmax(values == code))

    @classmethod
    def read(cls, directory: Path, name: str, *, metadata: Mapping[str, Any]) -> LabelColumn:
        """Read the files of a `LabelColumnWriter`."""
        type_, labelled = metadata["type"], memmap_array(directory / f"{name}.labelled.npy")
        coding = column_type(type_).coding
        if coding == "parsed":
            return cls(type_, (), labelled, labelled)
        values = memmap_ragged(directory, name) if coding == "names" else memmap_array(directory / f"{name}.npy")
        return cls(type_, tuple(metadata["names"]), labelled, values)


class LabelColumnWriter:
    """A writer of a label column, batch by batch.

    Args:
        directory: where to write the arrays; None keeps them in memory.
        name: the stem of their file names.
        type: the type of a label. Of one whose values are kept as parsed only `LabelColumn.labelled` is written.
    """

    def __init__(self, directory: Path | None, name: str, *, type: LabelType) -> None:
        self._type, self._coding = type, column_type(type).coding
        self._codes: dict[str, int] = {}
        self._labelled = ArrayWriter(directory, f"{name}.labelled", dtype=np.bool_)
        self._values: ArrayWriter | RaggedWriter | None
        if self._coding == "parsed":
            self._values = None
        elif self._coding == "names":
            self._values = RaggedWriter(directory, name)
        else:
            self._values = ArrayWriter(directory, name, dtype=np.float64 if self._coding == "number" else np.int32)

    def append(self, values: pa.Array) -> None:
        """Add the canonical labels of a batch."""
        self._labelled.append(values.is_valid().to_numpy(zero_copy_only=False))
        if self._values is None:
            return
        if isinstance(self._values, RaggedWriter):
            lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
            bounds = np.zeros(len(values) + 1, dtype=np.int64)
            np.cumsum(lengths, out=bounds[1:])
            self._values.append(Ragged(self._encode(values.flatten()), bounds))
        elif self._coding == "number":
            self._values.append(pc.fill_null(values, np.nan).to_numpy())
        else:
            self._values.append(self._encode(values))

    def close(self) -> LabelColumn:
        """Return the whole column."""
        labelled = self._labelled.close()
        values = labelled if self._values is None else self._values.close()
        return LabelColumn(self._type, tuple(self._codes), labelled, values)

    def _encode(self, names: pa.Array) -> NDArray[np.int32]:
        encoded = names.dictionary_encode()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in encoded.dictionary.to_pylist()]
        indices = pc.fill_null(encoded.indices, len(codes)).to_numpy()
        table: NDArray[np.int32] = np.array([*codes, NO_CODE], dtype=np.int32)
        row_codes: NDArray[np.int32] = table[indices]
        return row_codes


def _deduplicate(sets: Ragged) -> Ragged:
    """Keep each value of a row once, at its first position."""
    row, _ = sets.indices_2d()
    stride = int(sets.values.max(initial=0)) + 1
    first = np.sort(np.unique(row * stride + sets.values, return_index=True)[1])
    bounds = np.zeros(len(sets) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[first], minlength=len(sets)), out=bounds[1:])
    return Ragged(sets.values[first], bounds)

"""Targets that task types compute themselves: what `Task.targets` returned for the rows of a split, as flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.arrays import ArrayWriter, memmap_array
from nlpmtl.data.column_types import is_coded, read_stored
from nlpmtl.data.examples import ArrowBatches
from nlpmtl.data.hashing import Hashes
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import Indices, Labels, Targets, stack_targets

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {"b": np.bool_, "i": np.int64, "u": np.int64}


@dataclass(frozen=True)
class ParsedColumns:
    """The label columns of a task, and the rows in which it has all that it needs.

    Args:
        columns: key in `Task.columns` -> the column, as the task reads it.
        names: key -> the name of the column in the Arrow file.
        stored: the Arrow file, which has the values of types that are not built in.
        labelled: whether each row has a value in every column and further input that is not optional, ``[rows]``.
    """

    columns: Mapping[str, LabelColumn]
    names: Mapping[str, str]
    stored: ArrowBatches
    labelled: NDArray[np.bool_]

    def read(self, row: int, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the parsed values of a row, by key; a null is left out. An unlabelled row has none.

        Args:
            row: its index.
            stored: the row of the Arrow file, if it has been read.
        """
        if not self.labelled[row]:
            return {}
        labels: dict[str, Any] = {}
        for key, column in self.columns.items():
            if not column.labelled[row]:
                continue
            if is_coded(column.type):
                labels[key] = column.value(row)
            else:
                stored = self.stored.row(row) if stored is None else stored
                labels[key] = read_stored(stored[self.names[key]], type=column.type)
        return labels


class TargetArray(NamedTuple):
    """A named target of all rows: one item per row with targets, or one per sequence of such a row.

    Args:
        values: the numbers of all items.
        bounds: where those of each item start, and the end of the last, ``[items + 1]``; None if an item is a number.
        shapes: the shape of each item, ``[items, dimensions]``; None if an item has at most one dimension.
        first: the first item of each row, and the number of all items, ``[rows + 1]``.
        by_sequence: whether there is an item per sequence.
    """

    values: NDArray[Any]
    bounds: NDArray[np.int64] | None
    shapes: NDArray[np.int64] | None
    first: NDArray[np.int64]
    by_sequence: bool

    def items(self, row: int) -> list[NDArray[Any]]:
        """Return the items of a row."""
        start, end = self.first[row : row + 2].tolist()
        if self.bounds is None:
            return [self.values[item] for item in range(start, end)]
        items = [self.values[self.bounds[item] : self.bounds[item + 1]] for item in range(start, end)]
        if self.shapes is None:
            return items
        return [values.reshape(self.shapes[start + i]) for i, values in enumerate(items)]


@dataclass(frozen=True)
class ComputedLabels(Labels):
    """The labels of a task type that computes its targets itself.

    Args:
        parsed: its label columns.
        arrays: its targets by name; empty before they are computed.
        hashes: a hash of the labels of each row, ``[rows]``; None before the targets are computed.
    """

    parsed: ParsedColumns
    arrays: Mapping[str, TargetArray] = field(default_factory=dict)
    hashes: Hashes | None = None

    padded_to_batch: ClassVar[bool] = False

    def values(self, rows: Sequence[int]) -> list[Any]:
        """Return the parsed value of the column `label` of each row; None without one."""
        return [self.parsed.read(row).get("label") for row in rows]

    def example_labels(self, row: int, *, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.parsed.read(row, stored)

    def example_targets(self, row: int, *, first_tokens: Ragged | None = None, time: int = 0) -> Targets:
        """Return what `Task.targets` returned for a row, as arrays."""
        items = {name: (array.by_sequence, array.items(row)) for name, array in self.arrays.items()}
        return Targets(
            count=int(self.counts[row]),
            example={name: values[0] for name, (by_sequence, values) in items.items() if not by_sequence},
            sequence={name: values for name, (by_sequence, values) in items.items() if by_sequence},
        )

    def targets(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> dict[str, Tensor]:
        return stack_targets([self.example_targets(row) for row in np.asarray(rows).tolist()])

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        return self.targets(rows, first_tokens=first_tokens, time=time)["label"]


class TargetsWriter:
    """A writer of the targets of a task, row by row.

    Args:
        directory: where to write the arrays; None keeps them in memory.
        name: the stem of their file names.
    """

    def __init__(self, directory: Path | None, name: str) -> None:
        self._directory, self._name = directory, name
        self._arrays: dict[tuple[str, bool], _ArrayWriter] = {}
        self._rows = 0
        self._counts = ArrayWriter(directory, f"{name}.counts", dtype=np.int32)
        self._hashes = ArrayWriter(directory, f"{name}.hashes", dtype=np.uint64)

    def append(self, rows: Sequence[Targets | None], hashes: Hashes) -> None:
        """Add the targets of some rows, and the hashes of their labels; None for a row without targets.

        `check` has returned them.
        """
        self._counts.append(np.array([0 if row is None else row.count for row in rows], dtype=np.int32))
        self._hashes.append(hashes)
        for (name, by_sequence), writer in self._arrays.items():
            items = [[] if row is None else row.sequence[name] if by_sequence else [row.example[name]] for row in rows]
            writer.append(items)
        self._rows += len(rows)

    def metadata(self) -> list[dict[str, Any]]:
        """Return what `read_targets` needs to know, as plain values. Call this after `close`."""
        return [
            {"name": name, "by_sequence": by_sequence, "dimensions": writer.dimensions or 0}
            for (name, by_sequence), writer in self._arrays.items()
        ]

    def close(self) -> tuple[dict[str, TargetArray], NDArray[np.int32], Hashes]:
        """Return the arrays by name, the counts of the rows, and the hashes of their labels."""
        arrays = {name: writer.close(by_sequence) for (name, by_sequence), writer in self._arrays.items()}
        return arrays, self._counts.close(), self._hashes.close()

    def check(self, targets: Targets, *, sequences: int) -> Targets:
        """Return targets as arrays, which fit those of the rows before.

        Args:
            targets: what `Task.targets` returned.
            sequences: number of sequences of the row.

        Raises:
            ValueError: the rule that they break.
        """
        if not isinstance(targets, Targets):
            raise ValueError(f"targets() must return Targets or None, found {type(targets).__name__}")
        if isinstance(targets.count, bool) or not isinstance(targets.count, int | np.integer) or targets.count < 0:
            raise ValueError(f"the count must be an integer of at least 0, found {targets.count!r}")
        if len({*targets.example, *targets.sequence}) < len(targets.example) + len(targets.sequence):
            raise ValueError("a name must be that of a value per example or per sequence, not of both")
        for name, values in targets.sequence.items():
            if len(values) != sequences:
                raise ValueError(f"{name!r} has {len(values)} values for {sequences} sequences")
        arrays = Targets(
            int(targets.count),
            {name: _to_array(name, value) for name, value in targets.example.items()},
            {name: [_to_array(name, value) for value in values] for name, values in targets.sequence.items()},
        )
        names = _names(arrays)
        if not self._arrays:
            self._arrays = {
                key: _ArrayWriter(self._directory, f"{self._name}.{i}", rows=self._rows) for i, key in enumerate(names)
            }
        if names.keys() != self._arrays.keys():
            known, new = (", ".join(sorted(name for name, _ in keys)) for keys in (self._arrays, names))
            raise ValueError(f"earlier rows have targets named {known}, this one {new}")
        for key, items in names.items():
            self._arrays[key].check(key[0], items)
        return arrays


def read_targets(
    directory: Path, name: str, *, metadata: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, TargetArray], NDArray[np.int32], Hashes]:
    """Read the files of a `TargetsWriter`, as its `close` returned them.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged.
    """
    arrays = {}
    for i, array in enumerate(metadata):
        stem, dimensions = f"{name}.{i}", array["dimensions"]
        shapes = memmap_array(directory / f"{stem}.shapes.npy") if dimensions > 1 else None
        arrays[array["name"]] = TargetArray(
            values=memmap_array(directory / f"{stem}.npy"),
            bounds=memmap_array(directory / f"{stem}.bounds.npy") if dimensions else None,
            shapes=None if shapes is None else shapes.reshape(-1, dimensions),
            first=memmap_array(directory / f"{stem}.first.npy"),
            by_sequence=array["by_sequence"],
        )
    counts, hashes = (memmap_array(directory / f"{name}.{stem}.npy") for stem in ("counts", "hashes"))
    return arrays, counts, hashes


def _names(targets: Targets) -> dict[tuple[str, bool], list[Any]]:
    """Return the items of each name; a name is a pair with whether it has an item per sequence."""
    by_example = {(name, False): [value] for name, value in targets.example.items()}
    return {**by_example, **{(name, True): list(values) for name, values in targets.sequence.items()}}


def _to_array(name: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} must be a number or an array of numbers, found {type(value).__name__}")
    return array.astype(_DTYPES.get(array.dtype.kind, array.dtype), copy=False)


class _ArrayWriter:
    """A writer of one named target. The first item decides the number of dimensions, the first number the type."""

    def __init__(self, directory: Path | None, name: str, *, rows: int) -> None:
        self._directory, self._name = directory, name
        self.dimensions: int | None = None
        self._dtype: np.dtype[Any] | None = None
        self._items = self._end = 0
        self._first = ArrayWriter(directory, f"{name}.first", dtype=np.int64)
        self._first.append(np.zeros(rows + 1, dtype=np.int64))
        self._values: ArrayWriter | None = None
        self._bounds: ArrayWriter | None = None
        self._shapes: ArrayWriter | None = None

    def check(self, name: str, items: Sequence[NDArray[Any]]) -> None:
        """Raise ValueError if items do not fit those before them."""
        for item in items:
            if self.dimensions is None:
                self._start(item.ndim)
            if item.ndim != self.dimensions:
                raise ValueError(f"{name!r} has {self.dimensions} dimensions in earlier rows, here {item.ndim}")
            if item.size and self._dtype is None:
                self._dtype = item.dtype
                self._values = ArrayWriter(self._directory, self._name, dtype=item.dtype)
            if item.size and self._dtype is not None and not np.can_cast(item.dtype, self._dtype, "same_kind"):
                raise ValueError(f"{name!r} has numbers of type {self._dtype} in earlier rows, here {item.dtype}")

    def append(self, rows: Sequence[Sequence[NDArray[Any]]]) -> None:
        """Add the items of each row."""
        items = [item for row in rows for item in row]
        self._first.append(self._items + np.cumsum([len(row) for row in rows], dtype=np.int64))
        self._items += len(items)
        if not items:
            return
        if self._bounds is not None:
            self._bounds.append(self._end + np.cumsum([item.size for item in items], dtype=np.int64))
            self._end += sum(item.size for item in items)
        if self._shapes is not None:
            self._shapes.append(np.array([item.shape for item in items], dtype=np.int64).reshape(-1))
        if self._values is not None:
            self._values.append(np.concatenate([item.reshape(-1).astype(self._dtype) for item in items]))

    def close(self, by_sequence: bool) -> TargetArray:
        """Return the whole array."""
        values = self._values or ArrayWriter(self._directory, self._name, dtype=np.float64)
        return TargetArray(
            values=values.close(),
            bounds=None if self._bounds is None else self._bounds.close(),
            shapes=None if self._shapes is None else self._shapes.close().reshape(-1, self.dimensions or 1),
            first=self._first.close(),
            by_sequence=by_sequence,
        )

    def _start(self, dimensions: int) -> None:
        self.dimensions = dimensions
        if dimensions:
            self._bounds = ArrayWriter(self._directory, f"{self._name}.bounds", dtype=np.int64)
            self._bounds.append(np.zeros(1, dtype=np.int64))
        if dimensions > 1:
            self._shapes = ArrayWriter(self._directory, f"{self._name}.shapes", dtype=np.int64)

"""Targets that task types compute themselves: the return values of `Task.targets` for a split, in Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import TableRows, TableWriter, to_numpy
from nlpmtl.data.column_types import column_type, is_coded, read_stored
from nlpmtl.data.hashing import Hashes
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Indices, Ragged
from nlpmtl.data.targets import Labels, Targets, stack_targets

if TYPE_CHECKING:
    from torch import Tensor

COUNT, HASH, SEQUENCES = "count", "hash", "sequences"
"""Columns of a table of targets: the count of each row, a hash of its labels, the indices of the sequences it reads."""

_DTYPES = {"b": np.bool_, "i": np.int64, "u": np.int64}


@dataclass(frozen=True)
class ParsedColumns:
    """The label columns of a task, and which rows have all values that the task requires.

    Args:
        columns: key in `Task.columns` → label column of the task.
        names: key in `Task.columns` → name of the column in the rows.
        rows: the rows; values of column types that are not built in are read from them.
        labelled: whether each row has a value in every required column and further input, ``[rows]``.
    """

    columns: Mapping[str, LabelColumn]
    names: Mapping[str, str]
    rows: TableRows
    labelled: NDArray[np.bool_]

    def read(self, row: int, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the parsed values of a row by key, without nulls; empty for an unlabelled row.

        Args:
            row: index of the row.
            stored: the row of the Arrow table, if it was already read.
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
                stored = self.rows.row(row) if stored is None else stored
                value = read_stored(stored[self.names[key]], type=column.type)
                renamed = column.renamed
                labels[key] = column_type(column.type).rename(value, renamed.__getitem__) if renamed else value
        return labels


@dataclass(frozen=True)
class ComputedLabels(Labels):
    """The labels of a task type that computes its targets itself.

    Args:
        parsed: label columns of the task.
        stored: targets of the task, as `TargetsWriter` writes them; None before they are computed.
        hashes: a hash of the labels of each row, ``[rows]``; None before the targets are computed.
    """

    parsed: ParsedColumns
    stored: TableRows | None = None
    hashes: Hashes | None = None

    padded_to_batch: ClassVar[bool] = False

    def values(self, rows: Sequence[int]) -> list[Any]:
        """Return the parsed value of the column `label` of each row, or None."""
        return [self.parsed.read(row).get("label") for row in rows]

    def example_labels(self, row: int, *, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.parsed.read(row, stored)

    def example_targets(self, row: int, *, first_tokens: Ragged | None = None, sequence_length: int = 0) -> Targets:
        """Return the targets that `Task.targets` computed for a row, as arrays."""
        return self._read([row])[0]

    def targets(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> dict[str, Tensor]:
        return stack_targets(self._read(rows))

    def numbers(self) -> dict[str, NDArray[Any]]:
        """Return the targets with one number per example, by name, ``[examples]``; rows without targets are omitted."""
        assert self.stored is not None, "the targets are computed"
        table = self.stored.table
        names = [name for name in table.column_names if name.startswith("example:")]
        return {
            name.removeprefix("example:"): to_numpy(table[name].drop_null())
            for name in names
            if not pa.types.is_list(table[name].type)
        }

    def with_targets(self, table: pa.Table) -> ComputedLabels:
        """Return the same labels with the targets that a `TargetsWriter` wrote."""
        counts, hashes = to_numpy(table[COUNT]), to_numpy(table[HASH])
        return replace(self, counts=counts, hashes=hashes, stored=TableRows(table))

    def _read(self, rows: Indices) -> list[Targets]:
        assert self.stored is not None, "the targets are computed"
        table = self.stored.take(rows)
        columns = {name: table[name].combine_chunks() for name in table.column_names}
        by_example: list[dict[str, Any]] = [{} for _ in rows]
        by_sequence: list[dict[str, Any]] = [{} for _ in rows]
        for key, column in columns.items():
            by, _, name = key.partition(":")
            shapes = columns.get(f"shape:{name}")
            for i in range(len(column)):
                shape = None if shapes is None else shapes[i]
                if by == "example":
                    by_example[i][name] = _to_item(column[i], shape)
                elif by == "sequence":
                    values = column[i].values
                    item_shapes = [None] * len(values) if shape is None else shape.values
                    by_sequence[i][name] = [_to_item(*item) for item in zip(values, item_shapes, strict=True)]
        return [Targets(*values) for values in zip(columns[COUNT].to_pylist(), by_example, by_sequence, strict=True)]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        return self.targets(rows, first_tokens=first_tokens, sequence_length=sequence_length)["label"]


class TargetsWriter:
    """Writes the targets of a task to an Arrow table, row by row.

    The table has a column for each target, which is null in a row without targets. ``example:<name>`` contains a number
    or a list of numbers, ``sequence:<name>`` a list of these, one for each sequence. An array with more than one
    dimension is stored as a flat list of its numbers, and its shape in the column ``shape:<name>``.

    Args:
        path: the file; None keeps the table in memory.
        stack: closes the file when it exits.
        has_sequences: whether the task defines its sequences; the column ``sequences`` has their indices.
        has_targets: whether the task defines its targets.
    """

    def __init__(self, path: Path | None, stack: ExitStack, *, has_sequences: bool, has_targets: bool = True) -> None:
        self._path, self._stack, self._has_targets = path, stack, has_targets
        self._columns = {COUNT: pa.int32(), HASH: pa.uint64()}
        if has_sequences:
            self._columns[SEQUENCES] = pa.list_(pa.int64())
        self._forms: dict[tuple[str, bool], _Form] | None = None  # before the first row with targets
        self._pending: list[tuple[Targets | None, int, Sequence[int]]] = []
        self._writer: TableWriter | None = None

    def append(self, targets: Targets | None, *, hash: int, sequences: Sequence[int]) -> None:
        """Add a row.

        Args:
            targets: the return value of `check`; None for a row without targets.
            hash: hash of the row's labels.
            sequences: indices of the sequences that the row reads.
        """
        self._pending.append((targets, hash, sequences))

    def flush(self, *, last: bool = False) -> None:
        """Write the pending rows. While the type of a target is unknown, they stay pending unless `last` is set."""
        forms = self._forms or {}
        if self._writer is None:
            is_known = self._forms is not None and all(form.dtype is not None for form in forms.values())
            if self._has_targets and not last and not is_known:
                return
            for (name, by_sequence), form in forms.items():
                self._columns |= form.columns(name, by_sequence)
            self._writer = self._stack.enter_context(TableWriter(pa.schema(self._columns), self._path))
        targets, hashes, sequences = zip(*self._pending, strict=True) if self._pending else ((), (), ())
        values: dict[str, list[Any]] = {COUNT: [0 if t is None else t.count for t in targets], HASH: list(hashes)}
        values[SEQUENCES] = list(sequences)
        for (name, by_sequence), form in forms.items():
            values |= form.values(name, by_sequence, targets)
        self._writer.write(pa.array(values[name], type_) for name, type_ in self._columns.items())
        self._pending = []

    def table(self) -> pa.Table:
        """Return the written table. Call this after the stack has closed the file."""
        assert self._writer is not None, "the last rows were written"
        return self._writer.table()

    def check(self, targets: Targets, *, sequences: int) -> Targets:
        """Return targets as arrays, after checking that they have the names and types of those of earlier rows.

        Args:
            targets: the return value of `Task.targets`.
            sequences: number of sequences of the row.

        Raises:
            ValueError: the targets are invalid, or do not fit those of earlier rows.
        """
        if not isinstance(targets, Targets):
            raise ValueError(f"targets() must return Targets or None, found {type(targets).__name__}")
        if isinstance(targets.count, bool) or not isinstance(targets.count, int | np.integer) or targets.count < 0:
            raise ValueError(f"the count must be an integer of at least 0, found {targets.count!r}")
        if len({*targets.example, *targets.sequence}) < len(targets.example) + len(targets.sequence):
            raise ValueError("a name occurs in both `example` and `sequence`: give each target its own name")
        for name, values in targets.sequence.items():
            if len(values) != sequences:
                raise ValueError(f"{name!r} has {len(values)} values for {sequences} sequences")
        arrays = Targets(
            int(targets.count),
            {name: _to_array(name, value) for name, value in targets.example.items()},
            {name: [_to_array(name, value) for value in values] for name, values in targets.sequence.items()},
        )
        names = _names(arrays)
        if self._forms is None:
            self._forms = {key: _Form() for key in names}
        if names.keys() != self._forms.keys():
            raise ValueError(f"earlier rows have {_list_names(self._forms)}, this row has {_list_names(names)}")
        for key, items in names.items():
            self._forms[key].check(key[0], items)
        return arrays


def _names(targets: Targets) -> dict[tuple[str, bool], list[Any]]:
    """Return (name, whether it has an item per sequence) → its items."""
    by_example = {(name, False): [value] for name, value in targets.example.items()}
    return {**by_example, **{(name, True): list(values) for name, values in targets.sequence.items()}}


def _list_names(targets: Iterable[tuple[str, bool]]) -> str:
    """Return the names of targets as text.

    >>> _list_names([("x", False), ("y", True)])
    "the targets 'x' (per example), 'y' (per sequence)"
    """
    listed = ", ".join(f"{name!r} (per {_by(by_sequence)})" for name, by_sequence in sorted(targets))
    return f"the targets {listed}" if listed else "no targets"


def _to_array(name: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} must be a number or an array of numbers, found {type(value).__name__}")
    return array.astype(_DTYPES.get(array.dtype.kind, array.dtype), copy=False)


@dataclass
class _Form:
    """Number of dimensions and dtype of one target, taken from its first item and its first non-empty item."""

    dimensions: int | None = None
    dtype: np.dtype[Any] | None = None

    def check(self, name: str, items: Sequence[NDArray[Any]]) -> None:
        """Raise ValueError if items differ from earlier ones in dimensions or type."""
        for item in items:
            if self.dimensions is None:
                self.dimensions = item.ndim
            if item.ndim != self.dimensions:
                raise ValueError(f"{name!r} has {self.dimensions} dimensions in earlier rows, here {item.ndim}")
            if item.size and self.dtype is None:
                self.dtype = item.dtype
            if item.size and self.dtype is not None and not np.can_cast(item.dtype, self.dtype, "same_kind"):
                raise ValueError(f"{name!r} has numbers of type {self.dtype} in earlier rows, here {item.dtype}")

    def columns(self, name: str, by_sequence: bool) -> dict[str, pa.DataType]:
        """Return the Arrow columns that store the target: name → type."""
        number, shape = pa.from_numpy_dtype(self.dtype or np.float64), pa.list_(pa.int64())
        item = pa.list_(number) if self.dimensions else number
        columns = {f"{_by(by_sequence)}:{name}": item}
        if (self.dimensions or 0) > 1:
            columns[f"shape:{name}"] = shape
        return {key: pa.list_(type_) for key, type_ in columns.items()} if by_sequence else columns

    def values(self, name: str, by_sequence: bool, rows: Sequence[Targets | None]) -> dict[str, list[Any]]:
        """Return the values of the target's Arrow columns for some rows."""

        def convert_each(convert: Callable[[NDArray[Any]], Any]) -> list[Any]:
            if by_sequence:
                return [None if row is None else [convert(item) for item in row.sequence[name]] for row in rows]
            return [None if row is None else convert(row.example[name]) for row in rows]

        numbers = convert_each(
            lambda item: item.reshape(-1).astype(self.dtype or np.float64) if self.dimensions else item.item()
        )
        shapes = convert_each(lambda item: list(item.shape))
        return {f"{_by(by_sequence)}:{name}": numbers, f"shape:{name}": shapes}


def _by(by_sequence: bool) -> str:
    return "sequence" if by_sequence else "example"


def _to_item(value: pa.Scalar, shape: pa.Scalar | None) -> NDArray[Any]:
    """Return a target as an array, from its numbers and, if it has more than one dimension, its shape."""
    if not isinstance(value, pa.ListScalar):
        return np.asarray(value.as_py(), dtype=value.type.to_pandas_dtype())
    numbers = value.values.to_numpy(zero_copy_only=False)
    return np.asarray(numbers if shape is None else numbers.reshape(shape.as_py()))

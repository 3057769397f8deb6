"""The labels of a task on a split, as ids of the task's label names, and the targets that its loss reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.column_types import column_type
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Indices, Ragged
from nlpmtl.errors import DataError, did_you_mean, quote

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""PyTorch's mark of a position without a label."""


@dataclass(frozen=True)
class Targets:
    """Targets of the loss of a task for one example.

    Args:
        count: number of items over which the loss is summed, such as tokens. It depends on the data only, never on
            randomness: every process knows the counts of a whole step before the first forward pass.
        example: name -> scalar or array; in a batch ``[examples]`` or ``[examples, most, ...]``, each axis padded.
        sequence: name -> a scalar or array per sequence; in a batch ``[sequences]`` or ``[sequences, most, ...]``.
    """

    count: int = 1
    example: Mapping[str, Any] = field(default_factory=dict)
    sequence: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def stack_targets(targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the targets of examples as tensors: ``[examples, ...]``, or ``[sequences, ...]`` if given by sequence.

    Arrays of different sizes are padded at the end of each axis: integers with -100, numbers with NaN, booleans with
    False.

    >>> stack_targets([Targets(example={"tags": [1, 2]}), Targets(example={"tags": [3]})])["tags"].tolist()
    [[1, 2], [3, -100]]
    """
    stacked = {name: _stack([target.example[name] for target in targets]) for name in targets[0].example}
    for name in targets[0].sequence:
        stacked[name] = _stack([value for target in targets for value in target.sequence[name]])
    return stacked


def _stack(values: Sequence[Any]) -> Tensor:
    import torch

    arrays = [np.asarray(value) for value in values]
    dtype = np.result_type(*arrays)
    if np.issubdtype(dtype, np.integer):
        dtype = np.dtype(np.int64)
    if len({array.shape for array in arrays}) == 1:
        return torch.from_numpy(np.stack(arrays).astype(dtype))
    return _pad([array[np.newaxis] for array in arrays], dtype)


def join_padded(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate the targets of several batches; padded as by `stack_targets` if their sizes differ."""
    import torch

    if len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(list(parts))
    arrays = [part.numpy() for part in parts]
    return _pad(arrays, np.result_type(*arrays))


def _pad(arrays: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> Tensor:
    """Concatenate arrays, ``[rows, items, ...]``, padded to the longest in each further axis."""
    import torch

    fill = {"i": IGNORED, "b": False}.get(dtype.kind, np.nan)
    rows, sizes = sum(map(len, arrays)), np.max([array.shape[1:] for array in arrays], axis=0)
    padded = np.full((rows, *sizes), fill, dtype=dtype)
    start = 0
    for array in arrays:
        padded[(slice(start, start + len(array)), *map(slice, array.shape[1:]))] = array
        start += len(array)
    return torch.from_numpy(padded)


_CODES_AT_ONCE = 100_000
_MAX_LISTED = 10
"""Maximum number of unknown labels in an error."""
_MAX_CHARACTERS = 60


@dataclass(frozen=True)
class Labels(ABC):
    """The labels of one task on one split.

    Args:
        names: names of the labels by id; those from ``known`` on occur only in this split, and no prediction equals
            them.
        known: number of names that the task knows.
        labelled: whether each row has a label, ``[rows]``.
        counts: number of items over which the loss of each row is summed, ``[rows]``: 0 for an unlabelled row, for
            tags the number of first tokens of words that have a tag, else 1 or what `Task.targets` returned.
    """

    names: tuple[str, ...]
    known: int
    labelled: NDArray[np.bool_]
    counts: NDArray[np.integer]

    padded_to_batch: ClassVar[bool] = True
    """Whether targets by token have the length of the batch; otherwise that of the task's longest sequence."""

    @abstractmethod
    def values(self, rows: Sequence[int]) -> list[Any]:
        """Return the parsed label of each row: a name, a number, or a list of names."""

    def first_rows(self) -> dict[int, int]:
        """Return the ids that occur, in ascending order, and the first row of each; empty for numbers."""
        return {}

    def without_unknown(self) -> Labels:
        """Return the same labels, with a count of 0 for the rows with a label that the task does not know."""
        if len(self.names) == self.known:
            return self
        return replace(self, counts=np.where(self._unknown(), 0, self.counts))

    def _unknown(self) -> NDArray[np.bool_]:
        """Return whether each row has a label that the task does not know, ``[rows]``."""
        return np.zeros(len(self.labelled), dtype=np.bool_)

    def targets(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> dict[str, Tensor]:
        """Return the targets of the loss, by name, for labelled rows of a batch with this sequence length.

        Args:
            rows: their indices in the split.
            first_tokens: the first token of each word of these rows, which tags need; else None.
            sequence_length: number of tokens of the longest sequence of the batch.
        """
        return {"label": self.tensor(rows, first_tokens=first_tokens, sequence_length=sequence_length)}

    def example_targets(self, row: int, *, first_tokens: Ragged | None, sequence_length: int) -> Targets:
        """Return the targets of a labelled row, before `Task.corrupt` modifies them."""
        values = self.targets([row], first_tokens=first_tokens, sequence_length=sequence_length)
        return Targets(int(self.counts[row]), {name: value[0].numpy() for name, value in values.items()})

    def example_labels(self, row: int, *, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the parsed label columns of a row by their key in `Task.columns`; none of an unlabelled row.

        Args:
            row: its index.
            stored: the row of the Arrow table, if it has been read.
        """
        return {"label": self.values([row])[0]} if self.labelled[row] else {}

    @abstractmethod
    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        """Return the targets as a tensor, for labelled rows of a batch with this sequence length."""


@dataclass(frozen=True)
class ClassLabels(Labels):
    """One label per row: ids, ``[rows]``."""

    ids: NDArray[np.integer]

    def first_rows(self) -> dict[int, int]:
        rows = np.flatnonzero(self.labelled)
        ids, first = np.unique(self.ids[rows], return_index=True)
        return dict(zip(ids.tolist(), rows[first].tolist(), strict=True))

    def _unknown(self) -> NDArray[np.bool_]:
        return self.labelled & (self.ids >= self.known)

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [self.names[self.ids[row]] for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        import torch

        return torch.from_numpy(self.ids[np.asarray(rows)].astype(np.int64))


@dataclass(frozen=True)
class NumberLabels(Labels):
    """One number per row, ``[rows]``."""

    numbers: NDArray[np.float64]

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [float(self.numbers[row]) for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        import torch

        return torch.from_numpy(self.numbers[np.asarray(rows)])


@dataclass(frozen=True)
class _ListLabels(Labels):
    """A list of labels per row: ids."""

    ids: Ragged

    def first_rows(self) -> dict[int, int]:
        ids, first = np.unique(self.ids.values, return_index=True)
        return {i: self.ids.row_of(index) for i, index in zip(ids.tolist(), first.tolist(), strict=True) if i >= 0}

    def values(self, rows: Sequence[int]) -> list[Any]:
        names = (*self.names, None)  # −1 is an unknown tag
        return [[names[i] for i in self.ids[row].tolist()] for row in rows]

    def _unknown(self) -> NDArray[np.bool_]:
        unknown = np.zeros(len(self.ids), dtype=np.bool_)
        unknown[self.ids.indices_2d()[0][self.ids.values >= self.known]] = True
        return unknown


@dataclass(frozen=True)
class SetLabels(_ListLabels):
    """Any number of labels per row."""

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        import torch

        ids = self.ids.take(rows)
        hot = np.zeros((len(rows), self.known), dtype=np.float32)
        hot[ids.indices_2d()[0], ids.values] = 1
        return torch.from_numpy(hot)


@dataclass(frozen=True)
class TagLabels(_ListLabels):
    """One tag per word; the id −1, also in targets, is an unknown tag."""

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        import torch

        assert first_tokens is not None, "tags are labels of words"
        ids = self.ids.take(rows)
        labels = np.full((len(rows), sequence_length), IGNORED, dtype=np.int64)
        kept = first_tokens.values >= 0
        labels[ids.indices_2d()[0][kept], first_tokens.values[kept]] = ids.values[kept]
        return torch.from_numpy(labels)


@dataclass(frozen=True)
class LabelMapping:
    """Mapping of a label column of a built-in type to the labels of a task.

    Args:
        column: the column, as messages name it.
        type: its column type.
        names: the label names of the task, in order; empty for numbers.
    """

    column: str
    type: LabelType
    names: tuple[str, ...]


def map_labels(
    column: LabelColumn,
    mapping: LabelMapping,
    *,
    train: bool,
    first_token_counts: NDArray[np.int32] | None,
    place: Callable[[int], str],
) -> Labels:
    """Return the labels of a column as ids of a task's label names.

    Args:
        column: the column.
        mapping: mapping to the label names of the task.
        train: whether an unknown label is an error; otherwise it becomes an id past the known ones.
        first_token_counts: the number of tokens that are the first of a word with a tag, ``[rows]``; only for tags.
        place: returns the location of a row for messages.

    Raises:
        DataError: a label of a train split is unknown.
    """
    labelled, values = column.labelled, column.values
    counts = labelled.view(np.int8)
    type_ = column_type(mapping.type)
    if type_.coding == "number":
        assert not isinstance(values, Ragged)
        return NumberLabels(names=(), known=0, labelled=labelled, counts=counts, numbers=values)
    known_names = set(mapping.names)
    unknown = [name for name in column.names if name not in known_names]
    if train and unknown:
        locations = {name: place(column.first_row(name)) for name in unknown[:_MAX_LISTED]}
        raise DataError(describe_unknown(locations, count=len(unknown), column=mapping.column, known=mapping.names))
    names, known = (*mapping.names, *unknown), len(mapping.names)
    if not isinstance(values, Ragged):
        return ClassLabels(names, known, labelled, counts, _translate(values, column.names, names))
    lists = Ragged(_translate(values.values, column.names, names), values.bounds)
    if not type_.per_word:
        return SetLabels(names, known, labelled, counts, lists)
    assert first_token_counts is not None, "tags are labels of words"
    return TagLabels(names, known, labelled, np.where(labelled, first_token_counts, 0), lists)


def describe_unknown(locations: Mapping[str, str], *, count: int, column: str, known: Sequence[str]) -> str:
    """Return the message about labels of a train split that are not in a task's list of labels.

    Args:
        locations: the first few unknown labels, each with the location of its first row.
        count: the number of unknown labels.
        column: their column.
        known: the task's labels.
    """
    (first, location), *others = locations.items()
    hint = did_you_mean(first, known)
    message = f"{location}: {column}: {first!r} is not in the list of labels; {hint}"
    if not others:
        return message
    more = f"\n  and {count - len(locations)} more" if count > len(locations) else ""
    listed = "".join(f"\n  {where}: {quote(label, limit=_MAX_CHARACTERS)}" for label, where in others)
    return f"{message}\n{count} labels are not in the list, the others are:{listed}{more}"


def _translate(codes: NDArray[Any], before: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.integer]:
    """Return codes as ids, in the smallest integers that hold them; −1, for no label, stays −1."""
    ids = {name: i for i, name in enumerate(names)}
    table = np.array([*(ids[name] for name in before), -1], dtype=np.min_scalar_type(-max(1, len(names))))
    translated = np.empty(len(codes), dtype=table.dtype)
    for start in range(0, len(codes), _CODES_AT_ONCE):  # NumPy converts the indices to 64-bit integers
        part = slice(start, start + _CODES_AT_ONCE)
        np.take(table, codes[part], mode="wrap", out=translated[part])  # −1 is the last entry of the table
    return translated

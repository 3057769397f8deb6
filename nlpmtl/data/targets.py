"""Labels as arrays: one small class for each of the four shapes that a column of labels can have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data.column_types import ColumnType
from nlpmtl.data.example import Example, TokenSequence
from nlpmtl.data.ragged import Ragged

IGNORED = -100
"""PyTorch's mark of a position without a label."""

Indices = Sequence[int] | NDArray[np.integer]
"""Which rows."""


@dataclass(frozen=True)
class Labels(ABC):
    """The labels of one task on one split.

    Args:
        names: names of the labels by id; those from ``known`` on occur in this split only, and no prediction equals
            them.
        known: how many of the names the task knows.
        labelled: whether each row has a label, ``[rows]``.
        counts: items that a loss counts in each row, ``[rows]``: 0 where it is unlabelled, the first tokens of
            words in a tagged one, 1 in others.
    """

    names: tuple[str, ...]
    known: int
    labelled: NDArray[np.bool_]
    counts: NDArray[np.integer]

    @abstractmethod
    def values(self, rows: Sequence[int]) -> list[Any]:
        """Return the parsed label of each row: a name, a number, or a list of names."""

    def occurring(self) -> NDArray[np.integer]:
        """The ids that occur, ascending; none for numbers."""
        return np.zeros(0, dtype=np.int64)

    def first_row(self, label: int) -> int:
        """The first row that has a label, by its id."""
        raise NotImplementedError

    def targets(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> dict[str, Tensor]:
        """Return what the loss reads, by name, for labelled rows of a batch that is ``time`` tokens long."""
        return {"label": self.tensor(rows, first_tokens=first_tokens, time=time)}

    @abstractmethod
    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        """What a loss reads, for these labelled rows of a batch that is ``time`` tokens long."""


@dataclass(frozen=True)
class ClassLabels(Labels):
    """One label a row: ids, ``[rows]``."""

    ids: NDArray[np.integer]

    def occurring(self) -> NDArray[np.integer]:
        return np.unique(self.ids[self.labelled])

    def first_row(self, label: int) -> int:
        return int(np.argmax(self.ids == label))

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [self.names[self.ids[row]] for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        return torch.from_numpy(self.ids[np.asarray(rows)].astype(np.int64))


@dataclass(frozen=True)
class NumberLabels(Labels):
    """One number a row, ``[rows]``."""

    numbers: NDArray[np.float64]

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [float(self.numbers[row]) for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        return torch.from_numpy(self.numbers[np.asarray(rows)])


@dataclass(frozen=True)
class SetLabels(Labels):
    """Any number of labels a row: ids."""

    ids: Ragged

    def occurring(self) -> NDArray[np.integer]:
        return np.unique(self.ids.values)

    def first_row(self, label: int) -> int:
        return self.ids.row_of(int(np.argmax(self.ids.values == label)))

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [[self.names[i] for i in self.ids[row].tolist()] for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        ids = self.ids.take(rows)
        hot = np.zeros((len(rows), self.known), dtype=np.float32)
        hot[ids.indices_2d()[0], ids.values] = 1
        return torch.from_numpy(hot)


@dataclass(frozen=True)
class TagLabels(Labels):
    """One tag a word: ids."""

    ids: Ragged

    def occurring(self) -> NDArray[np.integer]:
        return np.unique(self.ids.values)

    def first_row(self, label: int) -> int:
        return self.ids.row_of(int(np.argmax(self.ids.values == label)))

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [[self.names[i] for i in self.ids[row].tolist()] for row in rows]

    def tensor(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> Tensor:
        assert first_tokens is not None, "tags stand on words"
        ids, places = self.ids.take(rows), first_tokens.take(rows)
        labels = np.full((len(rows), time), IGNORED, dtype=np.int64)
        kept = places.values >= 0
        labels[ids.indices_2d()[0][kept], places.values[kept]] = ids.values[kept]
        return torch.from_numpy(labels)


@dataclass(frozen=True)
class Targets:
    """What the loss of a task reads for one example.

    Args:
        count: number of items over which the loss is summed, such as tokens. It depends on the data only, never on
            randomness: every process knows the counts of a whole step before the first forward pass.
        example: name -> scalar or array; in a batch ``[examples]`` or ``[examples, most, ...]``, padded.
        sequence: name -> a scalar or array per sequence; in a batch ``[sequences]`` or ``[sequences, most, ...]``.
    """

    count: int = 1
    example: Mapping[str, Any] = field(default_factory=dict)
    sequence: Mapping[str, Sequence[Any]] = field(default_factory=dict)


MakeTargets = Callable[[Example, Sequence[TokenSequence]], Targets | None]


@dataclass(frozen=True)
class ParsedLabels(ClassLabels):
    """Parsed values of a column type that is not built in: ids of the distinct values, which `names` stores.

    Args:
        type: the column type.
        make_targets: makes the targets of an example.
    """

    type: type[ColumnType]
    make_targets: MakeTargets

    def occurring(self) -> NDArray[np.integer]:
        return np.zeros(0, dtype=np.int64)

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [self.type.from_stored(self.names[self.ids[row]]) for row in rows]

    def targets(self, rows: Indices, *, first_tokens: Ragged | None, time: int) -> dict[str, Tensor]:
        parsed = self.values(np.asarray(rows).tolist())
        targets = [self.make_targets(Example(labels={"label": value}), []) for value in parsed]
        values = [made.example for made in targets if made is not None]
        return {name: torch.from_numpy(np.stack([np.asarray(row[name]) for row in values])) for name in values[0]}

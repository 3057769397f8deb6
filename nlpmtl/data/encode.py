"""Rows as tokens and label ids: what a split is when training starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.column_types import BUILT_IN, column_type
from nlpmtl.data.hashing import Hashes
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import ClassLabels, Labels, MakeTargets, NumberLabels, ParsedLabels, SetLabels, TagLabels
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.errors import DataError, did_you_mean, quote

_CODES_AT_ONCE = 100_000
_SHOWN = 10
"""Unknown labels that an error lists."""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Target:
    """How a task reads a label column.

    Args:
        column: the column, as messages name it.
        shape: its column type.
        names: the labels of the task; empty for numbers.
        make_targets: makes the targets of an example, for column types that are not built in.
    """

    column: str
    shape: LabelType
    names: tuple[str, ...]
    make_targets: MakeTargets | None = None


@dataclass(frozen=True)
class Encoded:
    """A split, tokenised.

    Args:
        ids: the tokens of each row, special tokens included.
        types: the segment of each token, where the encoder tells two texts apart by it.
        first_tokens: the first token of each word of each row, −1 for a word without tokens; None without words.
        labels: the labels of each task.
        cut: how many rows were longer than the limit.
        place: tells where a row stands in its source, for a person to find it.
        inputs: a hash of each row's input, ``[rows]``; None for rows that were not read from a source.
        tokens: a digest of the token ids of all rows, where `inputs` is given.
    """

    ids: Ragged
    types: Ragged | None
    first_tokens: Ragged | None
    labels: Mapping[str, Labels]
    cut: int
    place: Callable[[int], str] = "row {}".format
    inputs: Hashes | None = None
    tokens: str | None = None

    def __len__(self) -> int:
        return len(self.ids)


def label(
    prepared: TokenizedSplit,
    *,
    targets: Mapping[str, Target],
    train: bool,
    columns: Mapping[str, LabelColumn] | None = None,
) -> Encoded:
    """Prepared rows with the labels that tasks know.

    A label that is not among a target's names stops a train split; in other splits it becomes an id past the known
    ones, which no prediction equals.

    Args:
        prepared: the rows.
        targets: what each task reads.
        train: whether they are the train split's.
        columns: the labels of each task, as `resolve_labels` returns them; default: the prepared columns.

    Raises:
        DataError: a label of a train split is not in the list, with its place.
    """
    if columns is None:
        columns = {task: prepared.columns[target.column] for task, target in targets.items()}
    return Encoded(
        ids=prepared.ids,
        types=prepared.types,
        first_tokens=prepared.first_tokens,
        labels={task: _labels(prepared, columns[task], target, train=train) for task, target in targets.items()},
        cut=prepared.truncated,
        place=prepared.place,
        inputs=prepared.inputs,
        tokens=prepared.tokens,
    )


def describe_unknown(places: Mapping[str, str], *, count: int, column: str, known: Sequence[str]) -> str:
    """A message about labels of a train split that are not in a task's list.

    Args:
        places: the first few of them, each with the place of its first row.
        count: how many there are.
        column: their column.
        known: the list.
    """
    (first, place), *others = places.items()
    hint = did_you_mean(first, known)
    message = f"{place}: {column}: {first!r} is not in the list of labels; {hint}"
    if not others:
        return message
    more = f"\n  and {count - len(places)} more" if count > len(places) else ""
    listed = "".join(f"\n  {where}: {quote(label, limit=_SHOWN_CHARACTERS)}" for label, where in others)
    return f"{message}\n{count} labels are not in the list, the others are:{listed}{more}"


def _labels(prepared: TokenizedSplit, column: LabelColumn, target: Target, *, train: bool) -> Labels:
    labelled, values = column.labelled, column.values
    counts = labelled.view(np.int8)
    if target.shape == "number":
        assert not isinstance(values, Ragged)
        return NumberLabels(names=(), known=0, labelled=labelled, counts=counts, numbers=values)
    if target.shape not in BUILT_IN:
        assert not isinstance(values, Ragged)
        assert target.make_targets is not None
        return ParsedLabels(
            column.names, len(column.names), labelled, counts, values, column_type(target.shape), target.make_targets
        )
    known_names = set(target.names)
    extra = [name for name in column.names if name not in known_names]
    if train and extra:
        places = {name: prepared.place(column.first_row(name)) for name in extra[:_SHOWN]}
        raise DataError(describe_unknown(places, count=len(extra), column=target.column, known=target.names))
    names, known = (*target.names, *extra), len(target.names)
    if not isinstance(values, Ragged):
        return ClassLabels(names, known, labelled, counts, _translate(values, column.names, names))
    many = Ragged(_translate(values.values, column.names, names), values.bounds)
    if target.shape == "set":
        return SetLabels(names, known, labelled, counts, many)
    assert prepared.first_token_counts is not None, "tags stand on words"
    return TagLabels(names, known, labelled, np.where(labelled, prepared.first_token_counts, 0), many)


def _translate(codes: NDArray[Any], before: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.integer]:
    """Codes as ids, in the smallest integers that hold them; no label stays −1."""
    ids = {name: i for i, name in enumerate(names)}
    table = np.array([*(ids[name] for name in before), -1], dtype=np.min_scalar_type(-max(1, len(names))))
    found = np.empty(len(codes), dtype=table.dtype)
    for start in range(0, len(codes), _CODES_AT_ONCE):  # NumPy makes 64-bit integers of what it looks up
        part = slice(start, start + _CODES_AT_ONCE)
        np.take(table, codes[part], mode="wrap", out=found[part])  # −1 is the last of the table
    return found

"""TokenizedSplit: the token sequences and labels of a split, as flat arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.arrays import memmap_array, memmap_ragged, open_regular_file
from nlpmtl.data.column_types import read_stored
from nlpmtl.data.example import Example, Input, TokenSequence
from nlpmtl.data.examples import ArrowBatches, memmap_batches
from nlpmtl.data.hashing import Hashes
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.raw_rows import FilePart, MissingColumn, location
from nlpmtl.data.targets import LabelMapping, Labels, map_labels
from nlpmtl.data.validation import stored_input
from nlpmtl.strict_json import dumps

EXAMPLES = "examples.arrow"
"""The file of the validated examples in a cache entry."""
_METADATA = "metadata.json"


class ExtraInput(NamedTuple):
    """A further input of the rows of a split, whose values are in its Arrow file.

    Args:
        type: its column type.
        present: whether each row has it, ``[rows]``.
    """

    type: LabelType
    present: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TokenizedSplit:
    """A tokenized split: its token sequences, and its labels as the source has them and as tasks read them.

    Args:
        ids: the token ids of each sequence, special tokens included.
        types: the token type ids, for text pairs and encoders that take them.
        first_tokens: the first token of each word of each sequence, −1 for a word without tokens; None without words.
        first_token_counts: the number of tokens that are the first of a word, ``[rows]``; None without words.
        word_ids: the index of each of these words in its text, for windows of a long text; None without words.
        windowed: whether each sequence is a window, ``[sequences]``; None: none is.
        offsets: start and end of each token in the last text of its sequence, in characters, ``[tokens, 2]``; of some
            sequences, or None.
        labels: the labels of each task; see `attach_labels`.
        places: task -> for each row the indices of the sequences that it reads. A task without an entry reads
            sequence ``i`` for row ``i``.
        weights: task -> the weight of each row in the loss, ``[rows]``. A task without an entry weights all rows by 1.
        columns: the label columns.
        extra: the further inputs of task types, by key.
        examples: the validated inputs, and the label columns of types that are not built in; None for rows that were
            not read from a source. They are in a memory map, unless no file could be written.
        numbers: the number of each row in its source, ``[rows]``; None for rows that were not read from a source.
        where: the name of the source in error messages.
        separator: what separates that name from a row's number.
        class_names: the label names of each ClassLabel column, in the source's order.
        skipped: the number of invalid rows that were dropped.
        truncated: the number of rows that were longer than the limit.
        key: the key of the split in the cache; None if it is not there.
        inputs: a hash of each row's input before tokenization, ``[rows]``; None for rows that were not read from a
            source.
        tokens: a digest of the token ids of all rows, where `inputs` is given.
        files: the files of the source, if there are several.
        missing_columns: the label columns that are in no row.
        word_counts: statistics of how the words are split; None without words.
    """

    ids: Ragged
    types: Ragged | None = None
    first_tokens: Ragged | None = None
    first_token_counts: NDArray[np.int32] | None = None
    word_ids: Ragged | None = None
    windowed: NDArray[np.bool_] | None = None
    offsets: Ragged | None = None
    labels: Mapping[str, Labels] = field(default_factory=dict)
    places: Mapping[str, Ragged] = field(default_factory=dict)
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    columns: Mapping[str, LabelColumn] = field(default_factory=dict)
    extra: Mapping[str, ExtraInput] = field(default_factory=dict)
    examples: ArrowBatches | None = None
    numbers: NDArray[np.int64] | None = None
    where: str = ""
    separator: str = "row "
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: int = 0
    truncated: int = 0
    key: str | None = None
    inputs: Hashes | None = None
    tokens: str | None = None
    files: tuple[FilePart, ...] = ()
    missing_columns: Mapping[str, MissingColumn] = field(default_factory=dict)
    word_counts: Mapping[str, int] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        if self.numbers is not None:
            return len(self.numbers)
        return len(next(iter(self.places.values()), self.ids))

    @cached_property
    def row_lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each row, ``[rows]``: those of the different sequences that any task reads."""
        lengths = self.ids.lengths
        if not self.places:
            return lengths
        row_of = np.full(len(lengths), -1, dtype=np.int64)  # a sequence belongs to one row
        if not self.labels.keys() <= self.places.keys():
            row_of[: len(self)] = np.arange(len(self))
        for places in self.places.values():
            row_of[places.values] = places.indices_2d()[0]
        read = row_of >= 0
        return np.bincount(row_of[read], weights=lengths[read], minlength=len(self)).astype(np.int64)

    def place(self, row: int) -> str:
        """Return where a row is in its source, such as ``data/train.jsonl:17``."""
        number = row if self.numbers is None else int(self.numbers[row])
        return location(number, where=self.where, separator=self.separator, files=self.files)

    def sequences_of(self, task: str) -> Ragged:
        """Return for each row the indices of the sequences that a task reads."""
        if task in self.places:
            return self.places[task]
        return self._one_per_row

    def example(self, row: int, task: str, *, stored: Mapping[str, Any] | None = None) -> Example:
        """Return a row as a task sees it. Its input and labels are read when they are first used.

        Its input is None for rows that were not read from a source. Its labels are empty if the row is unlabelled for
        the task.

        Args:
            row: its index.
            task: the task.
            stored: the row of the Arrow file, if it has been read.
        """
        example = _StoredExample(split=self, row=row, task=task)
        if stored is not None:
            example.__dict__["stored"] = stored
        return example

    @cached_property
    def _one_per_row(self) -> Ragged:
        """Sequence ``i`` for row ``i``; kept, as it is read for every batch."""
        bounds = np.arange(len(self) + 1)
        return Ragged(bounds[:-1], bounds)

    def sequence(self, index: int) -> TokenSequence:
        """Return a sequence, given its index."""
        windowed = self.windowed is not None and bool(self.windowed[index])
        offsets = None if self.offsets is None else self.offsets[index]
        return TokenSequence(
            ids=self.ids[index],
            words=None if self.first_tokens is None else self.first_tokens[index],
            word_ids=self.word_ids[index] if windowed and self.word_ids is not None else None,
            type_ids=None if self.types is None else self.types[index],
            offsets=None if offsets is None or not len(offsets) else offsets,
        )

    def stored_values(self, column: str) -> Iterator[Any]:
        """Yield the parsed values of a label column of a type that is not built in, in order, without nulls."""
        type_ = self.columns[column].type
        for batch in self.examples or ():
            for value in batch[f"label:{column}"].to_pylist():
                if value is not None:
                    yield read_stored(value, type=type_)

    def write_metadata(self, directory: Path) -> None:
        """Write everything but the arrays, so that `read_tokenized_split` can read the directory."""
        metadata = {
            "types": self.types is not None,
            "words": self.first_tokens is not None,
            "columns": {name: column.metadata() for name, column in self.columns.items()},
            "extra": {key: extra.type for key, extra in self.extra.items()},
            "where": self.where,
            "separator": self.separator,
            "files": self.files,
            "missing_columns": dict(self.missing_columns),
            "class_names": {column: list(names) for column, names in self.class_names.items()},
            "skipped": self.skipped,
            "truncated": self.truncated,
            "tokens": self.tokens,
            "word_counts": None if self.word_counts is None else dict(self.word_counts),
        }
        (directory / _METADATA).write_text(dumps(metadata), encoding="utf-8")


class _StoredExample(Example):
    """An example that is read from a split when its attributes are first used."""

    _split: TokenizedSplit
    _row: int
    _task: str

    def __init__(self, *, split: TokenizedSplit | None = None, row: int = 0, task: str = "", **values: Any) -> None:
        self.__dict__.update(values, _split=split, _row=row, _task=task)

    @cached_property
    def input(self) -> Input | None:
        return stored_input(self.stored)

    @cached_property
    def labels(self) -> Mapping[str, Any]:
        labels = self._split.labels.get(self._task)
        return {} if labels is None else labels.example_labels(self._row, stored=self.__dict__.get("stored"))

    @cached_property
    def extra(self) -> Mapping[str, Any]:
        values = {
            key: read_stored(self.stored[f"input:{key}"], type=extra.type) for key, extra in self._split.extra.items()
        }
        return {key: value for key, value in values.items() if value is not None}

    @cached_property
    def stored(self) -> Mapping[str, Any]:
        """The row of the Arrow file: column -> value."""
        examples = self._split.examples
        return {} if examples is None else examples.row(self._row)


def attach_labels(
    split: TokenizedSplit,
    *,
    mappings: Mapping[str, LabelMapping],
    train: bool,
    columns: Mapping[str, LabelColumn] | None = None,
) -> TokenizedSplit:
    """Return a split with the labels of tasks, as ids of the names that the tasks know.

    An unknown label in a train split is an error; in other splits it becomes an id past the known ones, which no
    prediction equals.

    Args:
        split: the rows.
        mappings: how each task reads its label column.
        train: whether it is the train split.
        columns: the label column of each task, as `resolve_labels` returns them; default: the columns of the split.

    Raises:
        DataError: a label of a train split is unknown to its task; the message has its location.
    """
    if columns is None:
        columns = {task: split.columns[mapping.column] for task, mapping in mappings.items()}
    labels = {
        task: map_labels(
            columns[task],
            mapping,
            train=train,
            first_token_counts=split.first_token_counts,
            place=split.place,
        )
        for task, mapping in mappings.items()
    }
    return replace(split, labels=labels)


def read_tokenized_split(directory: Path) -> TokenizedSplit:
    """Read what `tokenize_split` and `TokenizedSplit.write_metadata` wrote.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged.
    """
    with open_regular_file(directory / _METADATA) as file:
        metadata = json.loads(file.read().decode("utf-8"))
    ids = memmap_ragged(directory, "ids")
    columns: dict[str, dict[str, Any]] = metadata["columns"]
    return TokenizedSplit(
        ids=ids,
        types=Ragged(memmap_array(directory / "types.npy"), ids.bounds) if metadata["types"] else None,
        first_tokens=memmap_ragged(directory, "first_tokens") if metadata["words"] else None,
        first_token_counts=memmap_array(directory / "first_token_counts.npy") if metadata["words"] else None,
        columns={
            name: LabelColumn.read(directory, f"label{i}", metadata=column)
            for i, (name, column) in enumerate(columns.items())
        },
        extra={
            key: ExtraInput(type_, memmap_array(directory / f"extra{i}.npy"))
            for i, (key, type_) in enumerate(metadata["extra"].items())
        },
        examples=memmap_batches(directory / EXAMPLES),
        numbers=memmap_array(directory / "numbers.npy"),
        where=metadata["where"],
        separator=metadata["separator"],
        files=tuple(FilePart(*file) for file in metadata["files"]),
        missing_columns={name: MissingColumn(*column) for name, column in metadata["missing_columns"].items()},
        class_names={column: tuple(names) for column, names in metadata["class_names"].items()},
        skipped=metadata["skipped"],
        truncated=metadata["truncated"],
        inputs=memmap_array(directory / "inputs.npy"),
        tokens=metadata["tokens"],
        word_counts=metadata["word_counts"],
    )

"""TokenizedSplit: the rows of a split in an Arrow table, with their token sequences and the labels of tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import TableRows, read_table, to_numpy
from nlpmtl.data.column_types import ColumnType, column_type, is_coded, read_stored
from nlpmtl.data.example import Example, Input
from nlpmtl.data.hashing import Hashes
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.raw_rows import FilePart, MissingColumn, location
from nlpmtl.data.targets import LabelMapping, Labels, map_labels
from nlpmtl.data.token_store import StoredTokens, TokenStore
from nlpmtl.data.validation import stored_input
from nlpmtl.fs import open_regular_file

ROWS, TOKENS = "rows.arrow", "tokens.arrow"
"""The files of a cache entry with the validated rows, and with the token sequence of each."""
METADATA = "metadata.json"
"""The file of the attributes of the split as a whole, such as its class names."""
NUMBER, INPUT_HASH, WORD_TOKENS = "number", "input_hash", "word_tokens"
"""Columns of the rows in addition to those of `Examples`: the number of a row in its source, a hash of its input
before tokenization, and the number of tokens that are the first of a word (only with words)."""


@dataclass(frozen=True, eq=False)
class TokenizedSplit:
    """A tokenized split: its token sequences, and its labels as the source has them and as the tasks use them.

    Args:
        tokens: the token sequences.
        rows: the validated rows, with the columns of `Examples`, `NUMBER`, `INPUT_HASH` and `WORD_TOKENS`; None for
            rows that were not read from a source. They are in a memory map, unless no file could be written.
        labels: the labels of each task; see `attach_labels`.
        sequence_indices: task → indices of the sequences of each row. A task without an entry has sequence
            ``i`` for row ``i``.
        weights: task → the weight of each row in the loss, ``[rows]``. A task without an entry weights all rows by 1.
        columns: the label columns.
        extra: the types of the further inputs of task types, by key.
        where: the name of the source in error messages.
        separator: separator between that name and the number of a row.
        class_names: the label names of each ClassLabel column, in the source's order.
        skipped: the number of invalid rows that were dropped.
        truncated: the number of rows that were longer than the limit.
        key: the key of the split in the cache; None if it is not there.
        token_digest: a digest of the token ids of all rows, where `rows` is given.
        files: the files of the source, if there are several.
        missing_columns: the label columns that are in no row.
        word_counts: statistics of how the words are split; None without words.
    """

    tokens: TokenStore
    rows: TableRows | None = None
    labels: Mapping[str, Labels] = field(default_factory=dict)
    sequence_indices: Mapping[str, Ragged] = field(default_factory=dict)
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    columns: Mapping[str, LabelColumn] = field(default_factory=dict)
    extra: Mapping[str, LabelType] = field(default_factory=dict)
    where: str = ""
    separator: str = "row "
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: int = 0
    truncated: int = 0
    key: str | None = None
    token_digest: str | None = None
    files: tuple[FilePart, ...] = ()
    missing_columns: Mapping[str, MissingColumn] = field(default_factory=dict)
    word_counts: Mapping[str, int] | None = None

    @classmethod
    def from_arrow(cls, rows: pa.Table, tokens: pa.Table, metadata: Mapping[str, Any]) -> TokenizedSplit:
        """Return the split that `tokenize_split` wrote.

        Args:
            rows: the rows.
            tokens: the token sequence of each row.
            metadata: the other attributes by name; for `columns`, only the types.
        """
        columns: Mapping[str, LabelType] = metadata["columns"]
        attributes = {
            **metadata,
            "columns": {name: LabelColumn.from_arrow(rows[f"label:{name}"], type_) for name, type_ in columns.items()},
            "class_names": {column: tuple(names) for column, names in metadata["class_names"].items()},
            "files": tuple(FilePart(*file) for file in metadata["files"]),
            "missing_columns": {name: MissingColumn(*values) for name, values in metadata["missing_columns"].items()},
        }
        return cls(StoredTokens(tokens), TableRows(rows), **attributes)

    def __len__(self) -> int:
        """Return the number of rows."""
        if self.rows is not None:
            return len(self.rows)
        return len(next(iter(self.sequence_indices.values()), self.tokens.lengths))

    @cached_property
    def row_lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each row, ``[rows]``: those of the distinct sequences of all tasks."""
        lengths = self.tokens.lengths
        if not self.sequence_indices:
            return lengths
        row_of = np.full(len(lengths), -1, dtype=np.int64)  # a sequence belongs to one row
        if not self.labels.keys() <= self.sequence_indices.keys():
            row_of[: len(self)] = np.arange(len(self))
        for indices in self.sequence_indices.values():
            row_of[indices.values] = indices.indices_2d()[0]
        read = row_of >= 0
        return np.bincount(row_of[read], weights=lengths[read], minlength=len(self)).astype(np.int64)

    def place(self, row: int) -> str:
        """Return the location of a row in its source, such as ``data/train.jsonl:17``."""
        number = row if self.rows is None else self.rows.take([row])[NUMBER][0].as_py()
        return location(number, where=self.where, separator=self.separator, files=self.files)

    def sequences_of(self, task: str) -> Ragged:
        """Return the indices of the sequences of each row for a task."""
        if task in self.sequence_indices:
            return self.sequence_indices[task]
        return self._one_per_row

    def example(self, row: int, task: str, *, stored: Mapping[str, Any] | None = None) -> Example:
        """Return a row as a task sees it. Its input and labels are read when they are first used.

        Its input is None for rows that were not read from a source. Its labels are empty if the row is unlabelled for
        the task.

        Args:
            row: its index.
            task: the task.
            stored: the row of the Arrow table, if it has been read.
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

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a whole column of the rows that were read from a source."""
        assert self.rows is not None, "the rows were read from a source"
        return self.rows.table.column(name)

    @property
    def input_hashes(self) -> Hashes | None:
        """A hash of each row's input before tokenization, ``[rows]``; None for rows not read from a source."""
        return None if self.rows is None else to_numpy(self.column(INPUT_HASH))

    def stored_values(self, column: str) -> Iterator[Any]:
        """Yield the parsed values of a label column of a type that is not built in, in order, without nulls."""
        type_ = self.columns[column].type
        for chunk in self.column(f"label:{column}").chunks:
            yield from (read_stored(value, type=type_) for value in chunk.drop_null().to_pylist())

    def named_column(self, column: str) -> LabelColumn:
        """Return a label column; for a type that is not built in, with the label names in its values."""
        labels = self.columns[column]
        type_ = column_type(labels.type)
        if is_coded(labels.type) or type_.rename is ColumnType.rename:
            return labels
        names: dict[str, str] = {}
        for value in self.stored_values(column):
            type_.rename(value, lambda name: names.setdefault(name, name))
        return replace(labels, names=tuple(names))

    def stored_rows(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield the first row and the stored values of each batch of rows that were read from a source."""
        assert self.rows is not None, "the rows were read from a source"
        start = 0
        for batch in self.rows.table.to_batches():
            yield start, batch.to_pylist()
            start += batch.num_rows


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
            key: read_stored(self.stored.get(f"input:{key}"), type=type_) for key, type_ in self._split.extra.items()
        }
        return {key: value for key, value in values.items() if value is not None}

    @cached_property
    def stored(self) -> Mapping[str, Any]:
        """The row of the Arrow table: column -> value."""
        rows = self._split.rows
        return {} if rows is None else rows.row(self._row)


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
        mappings: mapping of the label column of each task.
        train: whether it is the train split.
        columns: the label column of each task, as `resolve_labels` returns them; default: the columns of the split.

    Raises:
        DataError: a label of a train split is unknown to its task; the message has its location.
    """
    if columns is None:
        columns = {task: split.columns[mapping.column] for task, mapping in mappings.items()}
    has_words = split.rows is not None and WORD_TOKENS in split.rows.table.column_names
    first_token_counts = to_numpy(split.column(WORD_TOKENS)) if has_words else None
    labels = {
        task: map_labels(
            columns[task],
            mapping,
            train=train,
            first_token_counts=_tagged_counts(split, columns[task])
            if column_type(columns[task].type).has_gaps
            else first_token_counts,
            place=split.place,
        )
        for task, mapping in mappings.items()
    }
    return replace(split, labels=labels)


def _tagged_counts(split: TokenizedSplit, tags: LabelColumn) -> NDArray[np.int32]:
    """Return the number of words of each row that have a token and a tag, ``[rows]``."""
    labelled = np.flatnonzero(tags.labelled)
    first_tokens = split.tokens.take(labelled).first_tokens
    assert first_tokens is not None, "tags are labels of words"
    assert isinstance(tags.values, Ragged), "tags are lists"
    row, _ = tags.values.indices_2d()
    tagged = (tags.values.values >= 0) & (first_tokens.values >= 0)
    return np.bincount(row[tagged], minlength=len(split)).astype(np.int32)


def read_tokenized_split(directory: Path) -> TokenizedSplit:
    """Read what `tokenize_split` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file is missing or damaged.
    """
    with open_regular_file(directory / METADATA) as file:
        metadata = json.loads(file.read().decode("utf-8"))
    return TokenizedSplit.from_arrow(read_table(directory / ROWS), read_table(directory / TOKENS), metadata)

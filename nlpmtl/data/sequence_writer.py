"""Stores the token sequences of a split whose task types define sequences; equal sequences of a row are stored once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import TableWriter, read_table
from nlpmtl.data.example import TokenSequence
from nlpmtl.data.token_store import TOKEN_COLUMNS, StoredTokens

_FILES = "sequences.arrow", "further_sequences.arrow"


class SequenceWriter:
    """A writer of token sequences, some rows at a time.

    The first sequences are those of the split itself, one for each row; the others follow.

    Args:
        rows: the number of rows of the split.
        directory: output directory; None: the sequences stay in memory.
        stack: closes the files.
    """

    def __init__(self, rows: int, directory: Path | None, stack: ExitStack) -> None:
        self._rows = rows
        paths = [None if directory is None else directory / name for name in _FILES]
        self._writers = [stack.enter_context(TableWriter(pa.schema(TOKEN_COLUMNS), path)) for path in paths]
        self._start, self._end = 0, rows
        self._row_sequences: list[TokenSequence] = []
        self._others: list[TokenSequence] = []
        self._known: list[dict[tuple[bytes, bytes], list[int]]] = []

    def start(self, row_sequences: list[TokenSequence]) -> None:
        """Start with the next rows, given the sequence that each has in the split itself."""
        self._start += len(self._row_sequences)
        self._end += len(self._others)
        self._row_sequences, self._others = row_sequences, []
        self._known = [{_key(sequence): [self._start + i]} for i, sequence in enumerate(self._row_sequences)]

    def add(self, row: int, new: TokenSequence) -> int:
        """Return the index of a sequence of a row, which is added if the row has no equal one.

        Args:
            row: the row, counted from the first one since `start`.
            new: the sequence.
        """
        equal = self._known[row].setdefault(_key(new), [])
        for index in equal:
            if (merged := _merge(self.sequence(index), new)) is not None:
                self._set(index, merged)
                return index
        equal.append(self._end + len(self._others))
        self._others.append(new)
        return equal[-1]

    def sequence(self, index: int) -> TokenSequence:
        """Return a sequence of the rows since `start`."""
        return self._row_sequences[index - self._start] if index < self._rows else self._others[index - self._end]

    def flush(self) -> None:
        """Write the sequences since `start`."""
        for writer, sequences in zip(self._writers, (self._row_sequences, self._others), strict=True):
            if sequences:
                writer.write(_columns(sequences))

    def tokens(self) -> StoredTokens:
        """Return all sequences. Call this after the stack has closed the files."""
        return StoredTokens(pa.concat_tables([writer.table() for writer in self._writers]))

    def _set(self, index: int, sequence: TokenSequence) -> None:
        if index < self._rows:
            self._row_sequences[index - self._start] = sequence
        else:
            self._others[index - self._end] = sequence


def read_sequences(directory: Path) -> StoredTokens:
    """Return the sequences that a `SequenceWriter` wrote.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged.
    """
    return StoredTokens(pa.concat_tables([read_table(directory / name) for name in _FILES]))


def _columns(sequences: Sequence[TokenSequence]) -> list[pa.Array]:
    """Return the columns of sequences, in the order of `TOKEN_COLUMNS`."""
    values: tuple[list[NDArray[np.integer] | None], ...] = (
        [sequence.ids for sequence in sequences],
        [sequence.type_ids for sequence in sequences],
        [sequence.words for sequence in sequences],
        [sequence.word_ids for sequence in sequences],
        [sequence.offsets for sequence in sequences],
    )
    columns = zip(values, TOKEN_COLUMNS.values(), strict=True)
    return [pa.array(map(_flatten, column, repeat(type_)), type_) for column, type_ in columns]


def _flatten(value: NDArray[np.integer] | None, type_: pa.ListType) -> NDArray[np.integer] | None:
    return None if value is None else value.reshape(-1).astype(type_.value_type.to_pandas_dtype())


def _key(sequence: TokenSequence) -> tuple[bytes, bytes]:
    """Return a key that is equal for sequences with the same encoder input: token ids and token type ids."""
    types = sequence.type_ids
    return sequence.ids.tobytes(), b"" if types is None or not types.any() else types.tobytes()


def _merge(known: TokenSequence, new: TokenSequence) -> TokenSequence | None:
    """Merge the words and offsets of two sequences of equal tokens; return None if both have some and they differ."""
    same_words = _equal(known.words, new.words) and _equal(known.word_ids, new.word_ids)
    if known.words is not None and new.words is not None and not same_words:
        return None
    if known.offsets is not None and new.offsets is not None and not np.array_equal(known.offsets, new.offsets):
        return None
    if known.words is None and new.words is not None:
        known = replace(known, words=new.words, word_ids=new.word_ids)
    return known if known.offsets is not None or new.offsets is None else replace(known, offsets=new.offsets)


def _equal(left: NDArray[np.integer] | None, right: NDArray[np.integer] | None) -> bool:
    return left is right or (left is not None and right is not None and np.array_equal(left, right))

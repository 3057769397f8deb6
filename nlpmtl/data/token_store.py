"""Token sequences of a split, in memory or in an Arrow table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import to_numpy
from nlpmtl.data.example import TokenSequence
from nlpmtl.data.ragged import Indices, ListColumn, Ragged

TOKEN_COLUMNS = {
    "input_ids": pa.list_(pa.int32()),
    "token_type_ids": pa.list_(pa.int8()),
    "first_tokens": pa.list_(pa.int32()),
    "word_ids": pa.list_(pa.int32()),
    "offsets": pa.list_(pa.int32()),
}
"""The columns of a table of token sequences, which are the fields of `Tokens`. Offsets are start, end, start, end, ….

A column without any value may be missing. ``word_ids`` is null for a sequence that is not a window.
"""


class TokenStore(ABC):
    """The token sequences of a split."""

    @property
    @abstractmethod
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each sequence, ``[sequences]``."""

    @abstractmethod
    def take(self, indices: Indices) -> Tokens:
        """Return the sequences with the given indices, in the given order."""

    def sequences(self, indices: Indices) -> list[TokenSequence]:
        """Return the sequences with the given indices as separate objects."""
        tokens = self.take(indices)
        return [tokens.sequence(i) for i in range(len(indices))]


@dataclass(frozen=True)
class Tokens(TokenStore):
    """Token sequences in memory.

    Args:
        ids: the token ids of each sequence, special tokens included.
        types: the token type ids, for text pairs and encoders that take them.
        first_tokens: the first token of each word of each sequence, −1 for a word without tokens; None without words.
        word_ids: the index of each of these words in its text, for windows of a long text; None without windows.
        windowed: whether each sequence is a window, ``[sequences]``; None if none is.
        offsets: start and end of each token in the last text of its sequence, in characters, ``[tokens, 2]``; empty for
            sequences without offsets. None if no sequence has them.
    """

    ids: Ragged
    types: Ragged | None = None
    first_tokens: Ragged | None = None
    word_ids: Ragged | None = None
    windowed: NDArray[np.bool_] | None = None
    offsets: Ragged | None = None

    @classmethod
    def join(cls, parts: Sequence[Tokens]) -> Tokens:
        """Concatenate sequences. A part without token type ids, words or offsets gets ids 0, no words, offsets −1."""
        windowed = [np.zeros(len(part.ids), np.bool_) if part.windowed is None else part.windowed for part in parts]
        return cls(
            Ragged.join([part.ids for part in parts]),
            _join([(part.types, _filled(part.ids, 0)) for part in parts]),
            _join([(part.first_tokens, _empty(part.ids)) for part in parts]),
            _join([(part.word_ids, _empty(part.ids)) for part in parts]),
            np.concatenate(windowed),
            _join([(part.offsets, _filled(part.ids, -1, 2)) for part in parts]),
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.ids.lengths

    def take(self, indices: Indices) -> Tokens:
        def take(rows: Ragged | None) -> Ragged | None:
            return None if rows is None else rows.take(indices)

        windowed = None if self.windowed is None else self.windowed[indices]
        ids, types, first_tokens = self.ids.take(indices), take(self.types), take(self.first_tokens)
        return Tokens(ids, types, first_tokens, take(self.word_ids), windowed, take(self.offsets))

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


class StoredTokens(TokenStore):
    """Token sequences in an Arrow table.

    Args:
        table: the sequences, with some of the columns `TOKEN_COLUMNS`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._input_ids = table["input_ids"]
        self._columns = {
            name: ListColumn(table[name])
            for name in TOKEN_COLUMNS
            if name in table.column_names and table[name].null_count < len(table)
        }
        self._windowed = to_numpy(table["word_ids"].is_valid()) if "word_ids" in self._columns else None

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return to_numpy(pc.list_value_length(self._input_ids)).astype(np.int64)

    def take(self, indices: Indices) -> Tokens:
        columns = {name: column.take(indices) for name, column in self._columns.items()}
        ids = columns["input_ids"]
        types, offsets = columns.get("token_type_ids"), columns.get("offsets")
        if types is not None and len(types.values) < len(ids.values):  # those of single texts are null: all 0
            values = np.zeros(len(ids.values), dtype=np.int8)
            values[(types.lengths > 0).repeat(ids.lengths)] = types.values
            types = Ragged(values, ids.bounds)
        return Tokens(
            ids,
            types,
            columns.get("first_tokens"),
            columns.get("word_ids"),
            None if self._windowed is None else self._windowed[np.asarray(indices, dtype=np.int64)],
            None if offsets is None else Ragged(offsets.values.reshape(-1, 2), offsets.bounds // 2),
        )


def _join(parts: Sequence[tuple[Ragged | None, Ragged]]) -> Ragged | None:
    """Concatenate the rows of parts, each with the default of missing rows; None if no part has rows."""
    if all(rows is None for rows, _ in parts):
        return None
    return Ragged.join([missing if rows is None else rows for rows, missing in parts])


def _filled(ids: Ragged, value: int, *axes: int) -> Ragged:
    """Return a value for each token."""
    return Ragged(np.full((len(ids.values), *axes), value, dtype=np.int8), ids.bounds)


def _empty(ids: Ragged) -> Ragged:
    return Ragged(np.zeros(0, dtype=np.int32), np.zeros_like(ids.bounds))

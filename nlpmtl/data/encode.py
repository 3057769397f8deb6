"""Rows as wordpieces and label ids: what a split is when training starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from nlpmtl.data.align import NO_PIECE, Span, first_pieces, join_words
from nlpmtl.data.labels import Shape
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.targets import ClassLabels, Labels, NumberLabels, SetLabels, TagLabels
from nlpmtl.errors import DataError, did_you_mean

_ROWS_AT_ONCE = 1000


class LabelledRows(Protocol):
    """Checked rows: a table of canonical columns, and where each row stands in its source."""

    @property
    def table(self) -> pa.Table:
        """Input and label columns."""

    def place(self, row: int) -> str:
        """Where a row stands, for a person to find it."""


@dataclass(frozen=True)
class Target:
    """What to read of a column of labels: its shape, and the names that the model can say (none for numbers)."""

    column: str
    shape: Shape
    names: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """A split, tokenised.

    Args:
        ids: the wordpieces of each row, special tokens included.
        types: the segment of each wordpiece, where the encoder tells two texts apart by it.
        firsts: the first wordpiece of each word of each row, −1 for a word without one; None where input is not words.
        labels: the labels of each task.
        cut: how many rows were longer than the limit.
    """

    ids: Ragged
    types: Ragged | None
    firsts: Ragged | None
    labels: Mapping[str, Labels]
    cut: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Pieces:
    """Texts as wordpieces; fields as in `Encoded`, ``cut`` by row."""

    ids: Ragged
    types: Ragged | None
    firsts: Ragged | None
    cut: np.ndarray


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    words: Sequence[Sequence[Span]] | None = None,
    max_length: int,
) -> Pieces:
    """Texts, or pairs of them, as wordpieces; with words, the place of each word too.

    The longer text of a pair is cut first. A row is cut only if it is longer than ``max_length`` wordpieces.
    """
    encoding = tokenizer(
        list(texts),
        list(pairs) if pairs is not None else None,
        truncation=True,
        max_length=max_length,
        return_offsets_mapping=words is not None,
        return_attention_mask=False,
        return_overflowing_tokens=False,
        verbose=False,
    )
    takes_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    firsts = None
    if words is not None:
        firsts = Ragged.pack(map(first_pieces, words, encoding["offset_mapping"]))
    return Pieces(
        ids=Ragged.pack(encoding["input_ids"]),
        types=Ragged.pack(encoding["token_type_ids"], dtype=np.int8) if takes_types else None,
        firsts=firsts,
        cut=np.array([bool(one.overflowing) for one in encoding.encodings or ()], dtype=bool),
    )


def encode(
    rows: LabelledRows,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    targets: Mapping[str, Target],
    train: bool,
) -> Encoded:
    """Tokenise checked rows and turn their labels into ids.

    A label that is not among a target's names stops a train split; in other splits it becomes an id past the known
    ones, which no prediction equals.

    Raises:
        DataError: a label of a train split is not in the list, with its place.
    """
    batches = list(_pieces(rows.table, tokenizer=tokenizer, max_length=max_length))
    types = [batch.types for batch in batches if batch.types is not None]
    firsts = [batch.firsts for batch in batches if batch.firsts is not None]
    joined = Ragged.join(firsts) if firsts else None
    return Encoded(
        ids=Ragged.join([batch.ids for batch in batches]),
        types=Ragged.join(types) if types else None,
        firsts=joined,
        labels={task: _labels(rows, target, firsts=joined, train=train) for task, target in targets.items()},
        cut=int(sum(batch.cut.sum() for batch in batches)),
    )


def _pieces(table: pa.Table, *, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Iterator[Pieces]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        if "words" in table.column_names:
            texts, spans = zip(*map(join_words, batch["words"].to_pylist()), strict=True)
            yield tokenize(tokenizer, texts, words=spans, max_length=max_length)
        else:
            pairs = batch["pair"].to_pylist() if "pair" in table.column_names else None
            yield tokenize(tokenizer, batch["text"].to_pylist(), pairs=pairs, max_length=max_length)


class _Ids:
    """Names to ids; names of other splits than train are added past the known ones."""

    def __init__(self, rows: LabelledRows, target: Target, *, train: bool) -> None:
        self.rows, self.target, self.train = rows, target, train
        self.ids = {name: i for i, name in enumerate(target.names)}

    def __call__(self, name: str, row: int) -> int:
        if name not in self.ids:
            if self.train:
                hint = did_you_mean(name, self.target.names)
                place = self.rows.place(row)
                raise DataError(f"{place}: {self.target.column}: {name!r} is not in the list of labels; {hint}")
            self.ids[name] = len(self.ids)
        return self.ids[name]


def _labels(rows: LabelledRows, target: Target, *, firsts: Ragged | None, train: bool) -> Labels:
    values: list[Any] = rows.table[f"label:{target.column}"].to_pylist()
    labelled = np.array([value is not None for value in values], dtype=np.bool_)
    counts = labelled.astype(np.int64)
    if target.shape == "number":
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return NumberLabels(names=(), known=0, labelled=labelled, counts=counts, numbers=numbers)
    ids = _Ids(rows, target, train=train)
    if target.shape == "class":
        one = np.array([-1 if v is None else ids(v, i) for i, v in enumerate(values)], dtype=np.int64)
        return ClassLabels(tuple(ids.ids), len(target.names), labelled, counts, one)
    many = Ragged.pack([[ids(name, i) for name in value or ()] for i, value in enumerate(values)])
    if target.shape == "set":
        return SetLabels(tuple(ids.ids), len(target.names), labelled, counts, many)
    assert firsts is not None, "tags stand on words"
    placed = np.array([len(set(firsts[i].tolist()) - {NO_PIECE}) for i in range(len(values))], dtype=np.int64)
    return TagLabels(tuple(ids.ids), len(target.names), labelled, counts * placed, many)

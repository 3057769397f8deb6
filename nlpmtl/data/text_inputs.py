"""Tokenization of the text inputs that task types define for an example; each text is tokenized once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.example import TextInput, TokenSequence
from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.sliding_window import tokenize_windows
from nlpmtl.data.token_store import Tokens
from nlpmtl.data.tokenization import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MAX_CHARACTERS = 1_000_000
"""Maximum number of characters in a call of the tokenizer, except for one longer input: encodings of whole texts take
much more memory than the tokens that are kept of them."""


@dataclass(frozen=True)
class TokenizedInputs:
    """The token sequences of text inputs: one for each input, or its windows.

    Args:
        tokens: the sequences, with the first tokens of the words that are read in each.
        cut: whether a sequence lacks tokens of its input, ``[sequences]``.
        first: the index of the first sequence of each input, and the number of all sequences, ``[inputs + 1]``. The
            sequences of an input follow each other.
    """

    tokens: Tokens
    cut: NDArray[np.bool_]
    first: NDArray[np.int64]

    def sequences(self, indices: NDArray[np.integer]) -> Sequence[TokenSequence]:
        """Return sequences by their indices. Each is built when it is accessed."""
        return _Sequences(self.tokens, indices)

    def read(self, texts: Iterable[TextRead]) -> list[int]:
        """Return the indices of the sequences that a row reads, given the texts that it reads."""
        starts, ends = self.first[:-1], self.first[1:]
        return [i for text, first in texts for i in range(starts[text], starts[text] + 1 if first else ends[text])]

    def is_cut(self, texts: Iterable[TextRead]) -> bool:
        """Return whether one of the texts is truncated and longer than the limit."""
        return any(truncated and self.cut[self.first[text]] for text, truncated in texts)


@dataclass(frozen=True)
class _Sequences(Sequence[TokenSequence]):
    tokens: Tokens
    indices: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> TokenSequence: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenSequence]: ...
    def __getitem__(self, index: int | slice) -> TokenSequence | list[TokenSequence]:
        if isinstance(index, slice):
            return [self.tokens.sequence(i) for i in self.indices[index].tolist()]
        return self.tokens.sequence(int(self.indices[index]))


class TextRead(NamedTuple):
    """A text input that a task reads.

    Args:
        text: its index in `TextTable.inputs`.
        truncated: whether only its first sequence is read.
    """

    text: int
    truncated: bool


class TextTable:
    """The distinct text inputs of some rows. Each is tokenized once for all tasks that read it.

    A text that is truncated for one task and cut into windows for another is tokenized once: its first window is the
    truncated text.

    Attributes:
        inputs: the text inputs.
        rows: the row to which each of them belongs.
    """

    def __init__(self) -> None:
        self.inputs: list[TextInput] = []
        self.rows: list[int] = []
        self._row = -1
        self._indices: dict[TextInput, int] = {}  # of the inputs of the last row
        self._singles: dict[str, int] = {}  # of the first input of each text without a pair

    def add(self, texts: Sequence[Sequence[TextInput]]) -> list[list[TextRead]]:
        """Add a row, given the text inputs of each task; return the texts of each task."""
        self._row += 1
        self._indices, self._singles = {}, {}
        for text in chain.from_iterable(texts):
            if not _is_truncated_text(text):
                self._add(text)
        return [[TextRead(self._find(text), text.stride is None) for text in of_task] for of_task in texts]

    def _find(self, text: TextInput) -> int:
        """Return the index of a text input of the last row; add it if it is new."""
        if _is_truncated_text(text) and text.text in self._singles:
            return self._singles[text.text]
        return self._add(text)

    def _add(self, text: TextInput) -> int:
        key = replace(text, offsets=False) if text.offsets else text
        if key not in self._indices:
            self._indices[key] = len(self.inputs)
            self.inputs.append(text)
            self.rows.append(self._row)
        index = self._indices[key]
        if text.pair is None:
            self._singles.setdefault(text.text, index)
        if text.offsets:
            self.inputs[index] = replace(self.inputs[index], offsets=True)
        return index


def _is_truncated_text(text: TextInput) -> bool:
    """Return whether a text input is a single text that is truncated, and needs no positions of words or tokens."""
    return text.pair is None and text.stride is None and text.words is None and not text.offsets


def check_text_inputs(texts: Iterable[TextInput]) -> list[TextInput]:
    """Check the return value of `Task.sequences`, and return it as a list.

    Raises:
        ValueError: it is empty, or a value is not a TextInput of strings with a stride of at least 0.
    """
    checked = list(texts)
    if not checked or not all(isinstance(text, TextInput) for text in checked):
        raise ValueError(f"a list of at least one TextInput was expected, found {checked!r}")
    for text in checked:
        if not all(isinstance(part, str) for part in text.texts):
            raise ValueError(f"the texts of a TextInput must be strings, found {text.texts!r}")
        if text.stride not in (None, "half") and not (isinstance(text.stride, int) and text.stride >= 0):
            raise ValueError(f'the stride must be an integer of at least 0 or "half", found {text.stride!r}')
    return checked


def tokenize_text_inputs(
    tokenizer: PreTrainedTokenizerBase, inputs: Sequence[TextInput], *, max_length: int
) -> TokenizedInputs:
    """Tokenize text inputs: truncated, or with a `stride` in windows.

    Windows after the first of an input are omitted if no word is read in them.

    Args:
        tokenizer: a fast tokenizer.
        inputs: at least one.
        max_length: maximum number of tokens of a sequence, special tokens included.
    """
    groups: dict[tuple[bool, bool, bool, int | str | None], list[int]] = defaultdict(list)
    for i, text in enumerate(inputs):
        groups[text.pair is not None, text.words is not None, text.offsets, text.stride].append(i)
    calls = [call for group in groups.values() for call in _split(group, inputs)]
    parts = [_tokenize_alike(tokenizer, [inputs[i] for i in call], max_length) for call in calls]
    if len(parts) == 1:
        return parts[0]
    return _merge(parts, calls)


def _split(group: Sequence[int], inputs: Sequence[TextInput]) -> Iterator[list[int]]:
    """Yield the indices of inputs in parts of a limited number of characters, of one input at least."""
    part: list[int] = []
    size = 0
    for index in group:
        length = sum(map(len, inputs[index].texts))
        if part and size + length > _MAX_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(index)
        size += length
    yield part


def _tokenize_alike(
    tokenizer: PreTrainedTokenizerBase, inputs: Sequence[TextInput], max_length: int
) -> TokenizedInputs:
    """Tokenize inputs that are all single texts or all pairs, with the same options."""
    first = inputs[0]
    texts = [text.text for text in inputs]
    pairs = None if first.pair is None else [text.pair or "" for text in inputs]
    if first.stride is None:
        words = None if first.words is None else [text.words or () for text in inputs]
        pieces = tokenize(tokenizer, texts, pairs=pairs, words=words, max_length=max_length, offsets=first.offsets)
        return TokenizedInputs(pieces, pieces.cut, np.arange(len(inputs) + 1))
    windows = tokenize_windows(
        tokenizer,
        texts,
        pairs=pairs,
        words=None if first.words is None else (text.words or () for text in inputs),
        max_length=max_length,
        stride=first.stride,
        offsets=first.offsets,
    )
    pieces, bounds = windows.pieces, np.append(windows.first, len(windows.text))
    kept = np.ones(len(windows.text), np.bool_) if pieces.first_tokens is None else pieces.first_tokens.lengths > 0
    kept[windows.first] = True
    if kept.all():
        return TokenizedInputs(pieces, pieces.cut, bounds)
    return TokenizedInputs(
        pieces.take(np.flatnonzero(kept)), pieces.cut[kept], row_bounds(kept.astype(np.int64))[bounds]
    )


def _merge(parts: Sequence[TokenizedInputs], indices: Sequence[Sequence[int]]) -> TokenizedInputs:
    """Join inputs of different kinds in their order; `indices` has those of each part."""
    counts = np.concatenate([np.diff(part.first) for part in parts])
    order = np.argsort(np.concatenate([np.asarray(group) for group in indices]), kind="stable")
    rows = Ragged(np.arange(counts.sum()), row_bounds(counts)).take(order)
    tokens, cut = Tokens.join([part.tokens for part in parts]), np.concatenate([part.cut for part in parts])
    return TokenizedInputs(tokens.take(rows.values), cut[rows.values], rows.bounds)

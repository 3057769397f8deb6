"""Tokenization of text inputs: what task types have tokenized for an example, each text once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.example import TextInput, TokenSequence
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.sliding_window import tokenize_windows
from nlpmtl.data.tokenization import TokenizedTexts, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedInputs:
    """The token sequences of text inputs: one for each input, or its windows.

    Args:
        pieces: the tokens of each sequence, with the first tokens of the words that are read in it; ``cut`` is whether
            tokens of its input are not in it.
        word_ids: for each entry of ``pieces.first_tokens``, the index of the word in its text.
        windowed: whether each sequence is a window, ``[sequences]``.
        first: the first sequence of each input, whose sequences follow each other, and the number of all sequences,
            ``[inputs + 1]``.
    """

    pieces: TokenizedTexts
    word_ids: NDArray[np.int64]
    windowed: NDArray[np.bool_]
    first: NDArray[np.int64]

    def sequences(self, indices: NDArray[np.integer]) -> Sequence[TokenSequence]:
        """Return sequences, given their indices in ``pieces``; they are made when they are read."""
        return _Sequences(self, indices)

    def sequence(self, index: int) -> TokenSequence:
        """Return a sequence, given its index in ``pieces``."""
        pieces = self.pieces
        words = word_ids = None
        if pieces.first_tokens is not None:
            start, end = pieces.first_tokens.bounds[index : index + 2]
            words = pieces.first_tokens.values[start:end]
            word_ids = self.word_ids[start:end] if self.windowed[index] else None
        return TokenSequence(
            pieces.ids[index],
            words,
            word_ids,
            None if pieces.types is None else pieces.types[index],
            None if pieces.offsets is None else pieces.offsets[index],
        )


@dataclass(frozen=True)
class _Sequences(Sequence[TokenSequence]):
    tokenized: TokenizedInputs
    indices: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> TokenSequence: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenSequence]: ...
    def __getitem__(self, index: int | slice) -> TokenSequence | list[TokenSequence]:
        if isinstance(index, slice):
            return [self.tokenized.sequence(i) for i in self.indices[index].tolist()]
        return self.tokenized.sequence(int(self.indices[index]))


def check_text_inputs(texts: Iterable[TextInput]) -> list[TextInput]:
    """Return what `Task.sequences` returned, as a list.

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

    Windows after the first of an input are left out if no word is read in them.

    Args:
        tokenizer: a fast tokenizer.
        inputs: at least one.
        max_length: maximum number of tokens of a sequence, special tokens included.
    """
    groups: dict[tuple[bool, bool, bool, int | str | None], list[int]] = defaultdict(list)
    for i, text in enumerate(inputs):
        groups[text.pair is not None, text.words is not None, text.offsets, text.stride].append(i)
    parts = [_tokenize_alike(tokenizer, [inputs[i] for i in group], max_length) for group in groups.values()]
    if len(parts) == 1:
        return parts[0]
    return _merge(parts, list(groups.values()))


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
        word_ids = np.zeros(0, dtype=np.int64) if pieces.first_tokens is None else pieces.first_tokens.indices_2d()[1]
        return TokenizedInputs(pieces, word_ids, np.zeros(len(inputs), dtype=np.bool_), np.arange(len(inputs) + 1))
    windows = tokenize_windows(
        tokenizer,
        texts,
        pairs=pairs,
        words=None if first.words is None else (text.words or () for text in inputs),
        max_length=max_length,
        stride=first.stride,
        offsets=first.offsets,
    )
    bounds = np.append(windows.first, len(windows.text))
    tokenized = TokenizedInputs(windows.pieces, windows.words, np.ones(len(windows.text), dtype=np.bool_), bounds)
    first_tokens = windows.pieces.first_tokens
    if first_tokens is None:
        return tokenized
    kept = first_tokens.lengths > 0
    kept[windows.first] = True
    return tokenized if kept.all() else _take(tokenized, np.flatnonzero(kept), np.append(0, np.cumsum(kept))[bounds])


def _take(tokenized: TokenizedInputs, rows: NDArray[np.int64], first: NDArray[np.int64]) -> TokenizedInputs:
    """Return some of the sequences, in the given order."""
    pieces, word_ids = tokenized.pieces, tokenized.word_ids
    if pieces.first_tokens is not None:
        word_ids = Ragged(word_ids, pieces.first_tokens.bounds).take(rows).values.astype(np.int64)
    taken = TokenizedTexts(
        pieces.ids.take(rows),
        None if pieces.types is None else pieces.types.take(rows),
        None if pieces.first_tokens is None else pieces.first_tokens.take(rows),
        cut=pieces.cut[rows],
        offsets=None if pieces.offsets is None else pieces.offsets.take(rows),
    )
    return TokenizedInputs(taken, word_ids, tokenized.windowed[rows], first)


def _merge(parts: Sequence[TokenizedInputs], indices: Sequence[Sequence[int]]) -> TokenizedInputs:
    """Join inputs of different kinds in their order; `indices` has those of each part."""
    has_types = any(part.pieces.types is not None for part in parts)
    has_words = any(part.pieces.first_tokens is not None for part in parts)
    has_offsets = any(part.pieces.offsets is not None for part in parts)
    pieces = [part.pieces for part in parts]
    joined = TokenizedTexts(
        Ragged.join([piece.ids for piece in pieces]),
        Ragged.join([piece.types or _filled(piece.ids, 0) for piece in pieces]) if has_types else None,
        Ragged.join([piece.first_tokens or _empty(len(piece.ids)) for piece in pieces]) if has_words else None,
        cut=np.concatenate([piece.cut for piece in pieces]),
        offsets=Ragged.join([piece.offsets or _filled(piece.ids, -1, width=2) for piece in pieces])
        if has_offsets
        else None,
    )
    counts = np.concatenate([np.diff(part.first) for part in parts])
    starts = np.append(0, np.cumsum(counts))[:-1]
    order = np.argsort(np.concatenate([np.asarray(group) for group in indices]), kind="stable")
    rows = Ragged(np.arange(counts.sum()), np.append(starts, counts.sum())).take(order)
    word_ids, windowed = (
        np.concatenate(arrays) for arrays in zip(*((p.word_ids, p.windowed) for p in parts), strict=True)
    )
    return _take(TokenizedInputs(joined, word_ids, windowed, starts), rows.values.astype(np.int64), rows.bounds)


def _filled(ids: Ragged, value: int, *, width: int | None = None) -> Ragged:
    """Return a value for each token."""
    shape = len(ids.values) if width is None else (len(ids.values), width)
    return Ragged(np.full(shape, value, dtype=np.int8), ids.bounds)


def _empty(rows: int) -> Ragged:
    return Ragged(np.zeros(0, dtype=np.int32), np.zeros(rows + 1, dtype=np.int64))

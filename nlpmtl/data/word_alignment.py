"""Words and tokens: where the words of a text are, and which token stands for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.ragged import Ragged

Span = tuple[int, int]
"""Start and end (exclusive) in characters."""

NO_TOKEN = -1
"""The place of a word that the tokenizer turned into nothing, or that was cut off."""

_CHUNK = re.compile(r"\S+")
_OPENING = "([{<\"'“‘«¿¡„‚‹»›"
CLOSING = ")]}>\"'”’».,;:!?…“‘«‹›،؛؟۔।॥։፣፤።"
"""Marks at the end of a word, also German quotes and the marks of Arabic, Hindi, Armenian and Amharic."""


def split_words(text: str) -> list[Span]:
    """The words of a raw text: what stands between white space, with outer punctuation peeled off as words of its own.

    So ``Turin.`` is two words, ``£34.99`` and ``don't`` are one each: the way most labelled corpora are split.

    >>> [text[a:b] for text in ["(See £34.99, please.)"] for a, b in split_words(text)]
    ['(', 'See', '£34.99', ',', 'please', '.', ')']
    """
    words: list[Span] = []
    for chunk in _CHUNK.finditer(text):
        start, end = chunk.span()
        while start < end - 1 and text[start] in _OPENING:
            words.append((start, start + 1))
            start += 1
        cut = end
        while cut > start + 1 and text[cut - 1] in CLOSING:
            cut -= 1
        words.append((start, cut))
        words.extend((i, i + 1) for i in range(cut, end))
    return words


def join_words(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Pre-split words as one text with single spaces between, and where each of them is in it."""
    spans: list[Span] = []
    at = 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(words), spans


def find_first_tokens(words: Sequence[Span], pieces: Sequence[Span]) -> list[int]:
    """The first token of each word, by characters.

    A tokenizer may count the space before a word as part of its first piece; a special token is an empty span.

    Args:
        words: the words' spans, in order, not overlapping.
        pieces: the tokens' spans, in order, special tokens as empty spans.

    Returns:
        For each word the index of the first piece that shares a character with it, or ``NO_TOKEN``.
    """
    first_tokens = [NO_TOKEN] * len(words)
    word = 0
    for index, (start, end) in enumerate(pieces):
        if start == end:
            continue
        while word < len(words) and words[word][1] <= start:
            word += 1
        at = word
        while at < len(words) and words[at][0] < end:
            if first_tokens[at] == NO_TOKEN and words[at][0] < words[at][1]:
                first_tokens[at] = index
            at += 1
    return first_tokens


@dataclass(frozen=True)
class Spans:
    """Spans in many texts, end to end: those of text ``i`` are ``starts[bounds[i]:bounds[i + 1]]`` to ``ends[…]``."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def pack(cls, texts: Iterable[Sequence[Span]]) -> Spans:
        """The spans of each text."""
        rows = list(texts)
        flat = np.fromiter(chain.from_iterable(chain.from_iterable(rows)), dtype=np.int64).reshape(-1, 2)
        bounds = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=bounds[1:])
        return cls(flat[:, 0], flat[:, 1], bounds)

    @classmethod
    def of_tokens(cls, encodings: Sequence[Any]) -> Spans:
        """Return the spans of the tokens of each text; special tokens have empty spans.

        Token by token, because a list of all offsets of a long text takes more memory than all else.

        Args:
            encodings: ``tokenizers.Encoding`` objects of single texts.
        """
        spans = (encoding.token_to_chars(i) or (0, 0) for encoding in encodings for i in range(len(encoding)))
        flat = np.fromiter(chain.from_iterable(spans), dtype=np.int64).reshape(-1, 2)
        bounds = np.zeros(len(encodings) + 1, dtype=np.int64)
        np.cumsum([len(encoding) for encoding in encodings], out=bounds[1:])
        return cls(flat[:, 0], flat[:, 1], bounds)

    @classmethod
    def joined(cls, lengths: NDArray[np.int64], bounds: NDArray[np.int64]) -> Spans:
        """The words of texts that `join_words` joined, from the lengths of the words in characters."""
        ends = np.cumsum(lengths + 1) - 1
        before = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])[bounds[:-1]]
        ends = ends - np.repeat(before, np.diff(bounds))
        return cls(ends - lengths, ends, bounds)

    def __getitem__(self, text: int) -> list[Span]:
        at = slice(self.bounds[text], self.bounds[text + 1])
        return list(zip(self.starts[at].tolist(), self.ends[at].tolist(), strict=True))


def find_first_tokens_batch(words: Spans, pieces: Spans) -> Ragged:
    """`find_first_tokens` of many texts at once."""
    texts = len(words.bounds) - 1
    # The texts are laid side by side, far enough apart that nothing of one reaches into the next.
    apart = max(words.ends.max(initial=0), pieces.ends.max(initial=0)) + 1
    word_at = np.repeat(np.arange(texts) * apart, np.diff(words.bounds))
    piece_at = np.repeat(np.arange(texts) * apart, np.diff(pieces.bounds))
    kept = np.flatnonzero(pieces.starts < pieces.ends)
    starts, ends = (pieces.starts + piece_at)[kept], (pieces.ends + piece_at)[kept]
    if (np.diff(ends) < 0).any():  # pieces out of order: one by one
        return Ragged.pack(find_first_tokens(words[text], pieces[text]) for text in range(texts))
    if not len(kept):
        return Ragged(np.full(len(words.starts), NO_TOKEN, dtype=np.int32), words.bounds)
    # The first that ends behind the start of the word; it shares a character with it if it starts before its end.
    found = np.searchsorted(ends, words.starts + word_at, side="right")
    at = np.minimum(found, len(kept) - 1)
    shared = (found < len(kept)) & (starts[at] < words.ends + word_at) & (words.starts < words.ends)
    places = kept[at] - pieces.bounds[np.repeat(np.arange(texts), np.diff(words.bounds))]
    return Ragged(np.where(shared, places, NO_TOKEN).astype(np.int32), words.bounds)

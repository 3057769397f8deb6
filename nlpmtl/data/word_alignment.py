"""Word alignment: the spans of the words of a text, and the first token of each word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.ragged import Ragged, row_bounds

Span = tuple[int, int]
"""Start and end (exclusive) in characters."""

NO_TOKEN = -1
"""The first token of a word without tokens, or of a word that was truncated."""

_CHUNK = re.compile(r"\S+")
_OPENING = "([{<\"'“‘«¿¡„‚‹»›"
CLOSING = ")]}>\"'”’».,;:!?…“‘«‹›،؛؟۔।॥։፣፤።"
"""Closing punctuation, including German quotes and the marks of Arabic, Hindi, Armenian and Amharic."""

MAX_WHOLE_LENGTH = 32
"""Maximum length, in characters, of a word that keeps the punctuation mark at its end."""


def split_words(text: str, *, whole: Collection[str] = ()) -> list[Span]:
    """Split a raw text at white space, and split each leading and trailing punctuation mark off as a word.

    ``Turin.`` becomes two words; ``£34.99`` and ``don't`` are one word each, as in most labelled corpora.

    Args:
        text: the text.
        whole: words that keep the mark at their end, such as "U.S.", of at most `MAX_WHOLE_LENGTH` characters. They
            keep it at the end of a sentence too, where a full stop may belong to the abbreviation, the sentence or
            both: most corpora write it once, as a part of the word.

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
            if whole and cut - start <= MAX_WHOLE_LENGTH and text[start:cut].replace("’", "'") in whole:
                break
            cut -= 1
        words.append((start, cut))
        words.extend((i, i + 1) for i in range(cut, end))
    return words


def join_words(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Join words with single spaces; return the text and the span of each word."""
    spans: list[Span] = []
    start = 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), spans


def find_first_tokens(words: Sequence[Span], tokens: Sequence[Span]) -> list[int]:
    """Find the first token of each word by character spans.

    A token may include the space before its word; a special token has an empty span.

    Args:
        words: the spans of the words, in order, without overlap.
        tokens: the spans of the tokens, in order.

    Returns:
        For each word, the index of the first token that shares a character with it, or ``NO_TOKEN``.
    """
    first_tokens = [NO_TOKEN] * len(words)
    word = 0
    for index, (start, end) in enumerate(tokens):
        if start == end:
            continue
        while word < len(words) and words[word][1] <= start:
            word += 1
        covered = word
        while covered < len(words) and words[covered][0] < end:
            if first_tokens[covered] == NO_TOKEN and words[covered][0] < words[covered][1]:
                first_tokens[covered] = index
            covered += 1
    return first_tokens


@dataclass(frozen=True)
class Spans:
    """Spans in several texts: those of text ``i`` are ``starts[bounds[i]:bounds[i + 1]]`` to ``ends[…]``."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def pack(cls, texts: Iterable[Sequence[Span]]) -> Spans:
        """Create spans from those of each text."""
        rows = list(texts)
        flat = np.fromiter(chain.from_iterable(chain.from_iterable(rows)), dtype=np.int64).reshape(-1, 2)
        return cls(flat[:, 0], flat[:, 1], row_bounds(list(map(len, rows))))

    @classmethod
    def of_tokens(cls, encodings: Sequence[Any]) -> Spans:
        """Return the spans of the tokens of each text; special tokens have empty spans.

        The offsets are read token by token, because a list of all offsets of a long text takes much memory.

        Args:
            encodings: ``tokenizers.Encoding`` objects of single texts.
        """
        spans = (encoding.token_to_chars(i) or (0, 0) for encoding in encodings for i in range(len(encoding)))
        flat = np.fromiter(chain.from_iterable(spans), dtype=np.int64).reshape(-1, 2)
        return cls(flat[:, 0], flat[:, 1], row_bounds(list(map(len, encodings))))

    @classmethod
    def joined(cls, lengths: NDArray[np.int64], bounds: NDArray[np.int64]) -> Spans:
        """Return the spans of words in texts that `join_words` joined, from the words' lengths in characters."""
        ends = np.cumsum(lengths + 1) - 1
        before = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])[bounds[:-1]]
        ends = ends - np.repeat(before, np.diff(bounds))
        return cls(ends - lengths, ends, bounds)

    def __getitem__(self, text: int) -> list[Span]:
        spans = slice(self.bounds[text], self.bounds[text + 1])
        return list(zip(self.starts[spans].tolist(), self.ends[spans].tolist(), strict=True))


def find_first_tokens_batch(words: Spans, tokens: Spans) -> Ragged:
    """Apply `find_first_tokens` to several texts at once."""
    texts = len(words.bounds) - 1
    # Shift each text by a multiple of the longest text's length, so that spans of different texts are disjoint.
    stride = max(words.ends.max(initial=0), tokens.ends.max(initial=0)) + 1
    word_shift = np.repeat(np.arange(texts) * stride, np.diff(words.bounds))
    token_shift = np.repeat(np.arange(texts) * stride, np.diff(tokens.bounds))
    kept = np.flatnonzero(tokens.starts < tokens.ends)
    starts, ends = (tokens.starts + token_shift)[kept], (tokens.ends + token_shift)[kept]
    if (np.diff(ends) < 0).any():  # tokens that are not in order
        return Ragged.pack(find_first_tokens(words[text], tokens[text]) for text in range(texts))
    if not len(kept):
        return Ragged(np.full(len(words.starts), NO_TOKEN, dtype=np.int32), words.bounds)
    # The first token that ends after the word starts; they overlap if the token starts before the word ends.
    candidate = np.searchsorted(ends, words.starts + word_shift, side="right")
    index = np.minimum(candidate, len(kept) - 1)
    overlaps = (candidate < len(kept)) & (starts[index] < words.ends + word_shift) & (words.starts < words.ends)
    token = kept[index] - tokens.bounds[np.repeat(np.arange(texts), np.diff(words.bounds))]
    return Ragged(np.where(overlaps, token, NO_TOKEN).astype(np.int32), words.bounds)

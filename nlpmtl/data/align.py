"""Words and wordpieces: where the words of a text are, and which wordpiece stands for each."""

from __future__ import annotations

import re
from collections.abc import Sequence

Span = tuple[int, int]
"""Start and end (exclusive) in characters."""

NO_PIECE = -1
"""The place of a word that the tokenizer turned into nothing, or that was cut off."""

_CHUNK = re.compile(r"\S+")
_OPENING = "([{<\"'“‘«¿¡"
_CLOSING = ")]}>\"'”’».,;:!?…"


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
        while cut > start + 1 and text[cut - 1] in _CLOSING:
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


def first_pieces(words: Sequence[Span], pieces: Sequence[Span]) -> list[int]:
    """The first wordpiece of each word, by characters.

    A tokenizer may count the space before a word as part of its first piece; a special token is an empty span.

    Args:
        words: the words' spans, in order, not overlapping.
        pieces: the wordpieces' spans, in order, special tokens as empty spans.

    Returns:
        For each word the index of the first piece that shares a character with it, or ``NO_PIECE``.
    """
    firsts = [NO_PIECE] * len(words)
    word = 0
    for index, (start, end) in enumerate(pieces):
        if start == end:
            continue
        while word < len(words) and words[word][1] <= start:
            word += 1
        at = word
        while at < len(words) and words[at][0] < end:
            if firsts[at] == NO_PIECE and words[at][0] < words[at][1]:
                firsts[at] = index
            at += 1
    return firsts

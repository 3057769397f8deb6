"""Texts that are longer than the encoder reads, in overlapping windows; each word belongs to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenization import TokenizedTexts, sequence_ids
from nlpmtl.data.tokenizer import encode_untruncated, placeholder_token
from nlpmtl.data.word_alignment import NO_TOKEN, Span, Spans, find_first_tokens_batch


@dataclass(frozen=True)
class Windows:
    """Texts in windows that each fit into the encoder.

    A word is in one window only, the one in which its first token is farthest from an end: what all windows hold
    together grows with the length of a text, and no faster.

    Args:
        pieces: a row for each window, with the first tokens of the words that belong to it; ``cut`` says whether its
            text has more than one window.
        text: which text each window is of, ascending, ``[windows]``.
        first: of each text its first window, ``[texts]``.
        words: for each entry of ``pieces.first_tokens`` the index of that word in its text.
    """

    pieces: TokenizedTexts
    text: NDArray[np.int64]
    first: NDArray[np.int64]
    words: NDArray[np.int64]

    def words_of(self, window: int) -> NDArray[np.int64]:
        """The words that belong to a window, as indices in its text."""
        assert self.pieces.first_tokens is not None, "windows are of words"
        bounds = self.pieces.first_tokens.bounds
        return self.words[bounds[window] : bounds[window + 1]]


class _Cuts(NamedTuple):
    """How texts are cut into windows: `many` windows of a text, `room` tokens each, every `step` tokens.

    Args:
        sizes: tokens of each text without special tokens, ``[texts]``.
        before: special tokens before the text …
        after: … and after it, ``[texts]``.
        many: windows of each text, ``[texts]``.
        room: tokens of a window without special tokens, ``[texts]``.
        step: how many tokens later the next window starts, ``[texts]``.
        backwards: whether the first window is at the end of the text, as for tokenizers that cut at the left.
    """

    sizes: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    many: NDArray[np.int64]
    room: NDArray[np.int64]
    step: NDArray[np.int64]
    backwards: bool

    def spans(self, text: NDArray[np.int64], number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and end of windows in their texts, given their numbers there."""
        sizes, skipped = self.sizes[text], number * self.step[text]
        if self.backwards:
            return np.maximum(sizes - skipped - self.room[text], 0), sizes - skipped
        return skipped, np.minimum(skipped + self.room[text], sizes)

    def choose(self, text: NDArray[np.int64], token: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the window in which a token of a text is farthest from an end; the first of two equal ones."""
        ahead = self.sizes[text] - 1 - token if self.backwards else token
        # A step is half a window or more, so no third window has the token.
        late = np.minimum(ahead // self.step[text], self.many[text] - 1)
        early = np.maximum(late - 1, 0)
        deeper = self._depths(text, early, token) >= self._depths(text, late, token)
        number: NDArray[np.int64] = np.where(deeper, early, late)
        return number

    def _depths(
        self, text: NDArray[np.int64], number: NDArray[np.int64], token: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How far a token is from the nearer end of a window, special tokens counted; −1 if it is not inside."""
        start, end = self.spans(text, number)
        depths = np.minimum(self.before[text] + token - start, self.after[text] + end - 1 - token)
        inside: NDArray[np.int64] = np.where((start <= token) & (token < end), depths, -1)
        return inside


def tokenize_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    words: Iterable[Sequence[Span]] | Spans,
    max_length: int,
) -> Windows:
    """Single texts as tokens, in as many windows as they need; neighbours share half of what they hold.

    Args:
        tokenizer: a fast one.
        texts: the texts.
        words: the words of each text. An iterator is read after the tokenizer's encodings are freed, which keeps the
            peak of memory low for long texts.
        max_length: of a window, special tokens included.
    """
    rows = encode_untruncated(tokenizer, texts)
    ids = [np.array(row.ids, dtype=np.int32) if len(row) else placeholder_token(tokenizer) for row in rows]
    offsets = Spans.of_tokens(rows)
    cuts = _cut([sequence_ids(row) for row in rows], max_length=max_length, side=tokenizer.truncation_side)
    del rows  # the largest of all that is held here
    first_tokens = find_first_tokens_batch(words if isinstance(words, Spans) else Spans.pack(words), offsets)
    text = np.arange(len(texts)).repeat(cuts.many)
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(cuts.many)])[:-1]
    number = np.arange(len(text)) - first[text]
    starts, ends = cuts.spans(text, number)
    windows = [_join(ids[t], cuts.before[t], a, b, cuts.after[t]) for t, a, b in zip(text, starts, ends, strict=True)]
    # Each word that has a token goes to one window.
    text_of_word, word = first_tokens.indices_2d()
    token = first_tokens.values - cuts.before[text_of_word]
    kept = (first_tokens.values != NO_TOKEN) & (token < cuts.sizes[text_of_word])
    text_of_word, word, token = text_of_word[kept], word[kept], token[kept]
    window = first[text_of_word] + cuts.choose(text_of_word, token)
    order = np.argsort(window, kind="stable")
    places = (cuts.before[text_of_word] + token - starts[window]).astype(np.int32)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(window, minlength=len(text)))])
    pieces = TokenizedTexts(_pack(windows), None, Ragged(places[order], bounds), cut=(cuts.many > 1)[text])
    return Windows(pieces, text, first, word[order])


def _pack(rows: Sequence[NDArray[np.int32]]) -> Ragged:
    bounds = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(np.concatenate([np.zeros(0, dtype=np.int32), *rows]), bounds)


def _cut(sequences: Sequence[NDArray[np.floating]], *, max_length: int, side: str) -> _Cuts:
    """How rows are cut whose tokens are special (NaN) or not."""
    sizes, before, after = (np.zeros(len(sequences), dtype=np.int64) for _ in range(3))
    for i, row in enumerate(sequences):
        inside = np.flatnonzero(~np.isnan(row))
        sizes[i] = len(inside)
        before[i] = inside[0] if len(inside) else len(row)
        after[i] = len(row) - before[i] - sizes[i]
    room = np.maximum(max_length - before - after, 0)
    sizes = np.where(room > 0, sizes, 0)
    step = np.maximum(room - room // 2, 1)
    many = 1 + -(-np.maximum(sizes - room, 0) // step)
    return _Cuts(sizes, before, after, many, room, step, backwards=side == "left")


def _join(ids: NDArray[np.int32], before: int, start: int, end: int, after: int) -> NDArray[np.int32]:
    """One window of a row, with the special tokens of the row around it."""
    if end - start + before + after in (0, len(ids)):  # 0: nothing but the token that stands in for a text without any
        return ids
    return np.concatenate([ids[:before], ids[before + start : before + end], ids[len(ids) - after :]])

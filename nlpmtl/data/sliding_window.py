"""Sliding windows: long texts as overlapping windows of tokens; each word belongs to one window."""

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
    """Texts as windows that fit into the encoder.

    A word belongs to the window in which its first token is farthest from an end. So the total size of all windows is
    linear in the length of a text.

    Args:
        pieces: one row per window, with the first tokens of the words that belong to it; ``cut`` is whether the text
            has several windows.
        text: the index of each window's text, ascending, ``[windows]``.
        first: the first window of each text, ``[texts]``.
        words: for each entry of ``pieces.first_tokens``, the index of the word in its text.
    """

    pieces: TokenizedTexts
    text: NDArray[np.int64]
    first: NDArray[np.int64]
    words: NDArray[np.int64]

    def words_of(self, window: int) -> NDArray[np.int64]:
        """Return the words of a window, as indices in its text."""
        assert self.pieces.first_tokens is not None, "windows are of words"
        bounds = self.pieces.first_tokens.bounds
        return self.words[bounds[window] : bounds[window + 1]]


class _WindowLayout(NamedTuple):
    """The window layout of texts: `window_count` windows per text of `size` tokens, one every `step` tokens.

    Args:
        lengths: the number of tokens of each text without special tokens, ``[texts]``.
        before: the number of special tokens before each text, ``[texts]``.
        after: the number of special tokens after each text, ``[texts]``.
        window_count: the number of windows of each text, ``[texts]``.
        size: the maximum number of tokens of a window without special tokens, ``[texts]``.
        step: the distance between the starts of two windows, ``[texts]``.
        backwards: whether the first window is at the end of the text, as for tokenizers that truncate on the left.
    """

    lengths: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    window_count: NDArray[np.int64]
    size: NDArray[np.int64]
    step: NDArray[np.int64]
    backwards: bool

    def spans(self, text: NDArray[np.int64], number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the start and end of windows in their texts, given their numbers."""
        lengths, skipped = self.lengths[text], number * self.step[text]
        if self.backwards:
            return np.maximum(lengths - skipped - self.size[text], 0), lengths - skipped
        return skipped, np.minimum(skipped + self.size[text], lengths)

    def choose(self, text: NDArray[np.int64], token: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the window in which a token is farthest from an end; the first one of equal ones."""
        ahead = self.lengths[text] - 1 - token if self.backwards else token
        # A step is at least half a window, so at most two windows contain the token.
        late = np.minimum(ahead // self.step[text], self.window_count[text] - 1)
        early = np.maximum(late - 1, 0)
        deeper = self._distance_to_edge(text, early, token) >= self._distance_to_edge(text, late, token)
        number: NDArray[np.int64] = np.where(deeper, early, late)
        return number

    def _distance_to_edge(
        self, text: NDArray[np.int64], number: NDArray[np.int64], token: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the distance of a token to the nearer end of a window, special tokens included; −1 outside."""
        start, end = self.spans(text, number)
        distance = np.minimum(self.before[text] + token - start, self.after[text] + end - 1 - token)
        inside: NDArray[np.int64] = np.where((start <= token) & (token < end), distance, -1)
        return inside


def tokenize_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    words: Iterable[Sequence[Span]] | Spans,
    max_length: int,
) -> Windows:
    """Tokenize single texts into as many windows as they need; neighbouring windows overlap by half.

    Args:
        tokenizer: a fast tokenizer.
        texts: the texts.
        words: the spans of the words of each text. An iterator is read after the tokenizer's encodings are freed, which
            lowers the peak memory for long texts.
        max_length: the maximum number of tokens of a window, special tokens included.
    """
    rows = encode_untruncated(tokenizer, texts)
    ids = [np.array(row.ids, dtype=np.int32) if len(row) else placeholder_token(tokenizer) for row in rows]
    offsets = Spans.of_tokens(rows)
    layout = _window_layout([sequence_ids(row) for row in rows], max_length=max_length, side=tokenizer.truncation_side)
    del rows  # the largest objects here
    first_tokens = find_first_tokens_batch(words if isinstance(words, Spans) else Spans.pack(words), offsets)
    text = np.arange(len(texts)).repeat(layout.window_count)
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(layout.window_count)])[:-1]
    number = np.arange(len(text)) - first[text]
    starts, ends = layout.spans(text, number)
    windows = [
        _join(ids[t], layout.before[t], a, b, layout.after[t]) for t, a, b in zip(text, starts, ends, strict=True)
    ]
    # Assign each word with a token to one window.
    text_of_word, word = first_tokens.indices_2d()
    token = first_tokens.values - layout.before[text_of_word]
    kept = (first_tokens.values != NO_TOKEN) & (token < layout.lengths[text_of_word])
    text_of_word, word, token = text_of_word[kept], word[kept], token[kept]
    window = first[text_of_word] + layout.choose(text_of_word, token)
    order = np.argsort(window, kind="stable")
    places = (layout.before[text_of_word] + token - starts[window]).astype(np.int32)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(window, minlength=len(text)))])
    pieces = TokenizedTexts(_pack(windows), None, Ragged(places[order], bounds), cut=(layout.window_count > 1)[text])
    return Windows(pieces, text, first, word[order])


def _pack(rows: Sequence[NDArray[np.int32]]) -> Ragged:
    bounds = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(np.concatenate([np.zeros(0, dtype=np.int32), *rows]), bounds)


def _window_layout(sequences: Sequence[NDArray[np.floating]], *, max_length: int, side: str) -> _WindowLayout:
    """Return the window layout of texts, given their sequence ids: NaN for special tokens."""
    lengths, before, after = (np.zeros(len(sequences), dtype=np.int64) for _ in range(3))
    for i, row in enumerate(sequences):
        inside = np.flatnonzero(~np.isnan(row))
        lengths[i] = len(inside)
        before[i] = inside[0] if len(inside) else len(row)
        after[i] = len(row) - before[i] - lengths[i]
    size = np.maximum(max_length - before - after, 0)
    lengths = np.where(size > 0, lengths, 0)
    step = np.maximum(size - size // 2, 1)
    count = 1 + -(-np.maximum(lengths - size, 0) // step)
    return _WindowLayout(lengths, before, after, count, size, step, backwards=side == "left")


def _join(ids: NDArray[np.int32], before: int, start: int, end: int, after: int) -> NDArray[np.int32]:
    """Return one window of a text, with the special tokens of the text around it."""
    if end - start + before + after in (0, len(ids)):  # 0: only the placeholder of a text without tokens
        return ids
    return np.concatenate([ids[:before], ids[before + start : before + end], ids[len(ids) - after :]])

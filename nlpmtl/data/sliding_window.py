"""Sliding windows: long texts as overlapping windows of tokens; each word belongs to one window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.tokenization import TokenizedTexts, encode_untruncated, placeholder_token, sequence_ids
from nlpmtl.data.word_alignment import NO_TOKEN, Span, Spans, find_first_tokens_batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Windows:
    """Texts as windows that fit into the encoder.

    Each word belongs to only one window, in which its first token is farthest from an end. The total number of words in
    all windows is therefore linear in the length of a text.

    Args:
        pieces: the windows, each with the words that belong to it; ``cut`` is whether the text has several windows.
        text: the index of each window's text, in ascending order, ``[windows]``.
        first: the first window of each text, ``[texts]``.
    """

    pieces: TokenizedTexts
    text: NDArray[np.int64]
    first: NDArray[np.int64]


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
        number: NDArray[np.int64] = np.minimum(ahead // self.step[text], self.window_count[text] - 1)
        # From the last window with the token to the first one, the distance rises, then falls.
        for _ in range(int((-(-self.size // self.step)).max(initial=1)) - 1):
            early = np.maximum(number - 1, 0)
            deeper = self._distance_to_edge(text, early, token) >= self._distance_to_edge(text, number, token)
            number = np.where(deeper, early, number)
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
    pairs: Sequence[str] | None = None,
    words: Iterable[Sequence[Span]] | Spans | None = None,
    max_length: int,
    stride: int | Literal["half"] = "half",
    offsets: bool = False,
) -> Windows:
    """Tokenize texts into as many windows as they need; of a pair the second text, and each window has the first one.

    Args:
        tokenizer: a fast tokenizer.
        texts: the texts.
        pairs: the second text of each pair. If the first text leaves less than a quarter of a window, it is truncated.
        words: the spans of the words of each single text. An iterator is read after the tokenizer's encodings are
            freed, which lowers the peak memory for long texts.
        max_length: the maximum number of tokens of a window, special tokens included.
        stride: the number of tokens that neighbouring windows share, at most all but one, and of a pair, whose first
            text may leave few tokens, at most half; "half": half of a window.
        offsets: whether to return the offsets of tokens.
    """
    assert pairs is None or words is None, "words of pairs cannot be read in windows"
    last = 0 if pairs is None else 1
    rows = encode_untruncated(tokenizer, texts, pairs=pairs)
    ids = [np.array(row.ids, dtype=np.int32) if len(row) else placeholder_token(tokenizer) for row in rows]
    spans = Spans.of_tokens(rows) if words is not None or offsets else None
    numbers = [sequence_ids(row) for row in rows]
    takes_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    types = [np.array(row.type_ids or [0], dtype=np.int8) for row in rows] if takes_types else None
    side = tokenizer.truncation_side
    del rows  # the largest objects here
    kept = [_shorten_first(row, max_length=max_length, side=side) for row in numbers] if last else [None] * len(ids)
    ids, numbers = _take_all(ids, kept), _take_all(numbers, kept)
    layout = _window_layout(numbers, last=last, max_length=max_length, side=side, stride=stride)
    text = np.arange(len(texts)).repeat(layout.window_count)
    first = row_bounds(layout.window_count)[:-1]
    starts, ends = layout.spans(text, np.arange(len(text)) - first[text])

    def cut(values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the values of each window, given a value per token of each text."""
        borders = zip(text.tolist(), starts, ends, strict=True)
        return [_join(values[t], layout.before[t], a, b, layout.after[t]) for t, a, b in borders]

    first_tokens, word_ids = None, None
    if words is not None and spans is not None:
        aligned = find_first_tokens_batch(words if isinstance(words, Spans) else Spans.pack(words), spans)
        first_tokens, word_ids = _assign_words(aligned, layout, first=first, starts=starts)
    pieces = TokenizedTexts(
        _pack(cut(ids)),
        None if types is None else _pack(cut(_take_all(types, kept)), dtype=np.int8),
        first_tokens,
        word_ids,
        np.ones(len(text), dtype=np.bool_),
        cut=(layout.window_count > 1)[text],
        offsets=_pack(cut(_text_offsets(spans, numbers, kept, last)), width=2) if offsets and spans else None,
    )
    return Windows(pieces, text, first)


def _shorten_first(sequences: NDArray[np.floating], *, max_length: int, side: str) -> NDArray[np.int64] | None:
    """Return the tokens of a pair whose first text leaves a quarter of a window for the second; None: all of them."""
    first, second = np.flatnonzero(sequences == 0), int((sequences == 1).sum())
    special = len(sequences) - len(first) - second
    allowed = max(0, max_length - special - min(second, max(1, max_length // 4)))
    if len(first) <= allowed:
        return None
    kept = np.ones(len(sequences), dtype=np.bool_)
    kept[first[allowed:] if side == "right" else first[: len(first) - allowed]] = False
    return np.flatnonzero(kept)


def _take_all(rows: Sequence[NDArray[Any]], kept: Sequence[NDArray[np.int64] | None]) -> list[NDArray[Any]]:
    return [row if indices is None else row[indices] for row, indices in zip(rows, kept, strict=True)]


def _text_offsets(
    spans: Spans, numbers: Sequence[NDArray[np.floating]], kept: Sequence[NDArray[np.int64] | None], last: int
) -> list[NDArray[np.int32]]:
    """Return the offsets of the tokens of each text, ``[tokens, 2]``: -1 for tokens that are not of the last text."""
    offsets = []
    for text, (number, indices) in enumerate(zip(numbers, kept, strict=True)):
        bounds = slice(spans.bounds[text], spans.bounds[text + 1])
        values = np.stack([spans.starts[bounds], spans.ends[bounds]], axis=1).astype(np.int32)
        values = values if indices is None else values[indices]
        # A text without tokens is one placeholder token.
        offsets.append(np.where((number == last)[:, None], values, -1) if len(values) else np.full((1, 2), -1))
    return offsets


def _assign_words(
    first_tokens: Ragged, layout: _WindowLayout, *, first: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[Ragged, Ragged]:
    """Return the first tokens of the words of each window, and the index of each of these words in its text."""
    text, word = first_tokens.indices_2d()
    token = first_tokens.values - layout.before[text]
    kept = (first_tokens.values != NO_TOKEN) & (token < layout.lengths[text])
    text, word, token = text[kept], word[kept], token[kept]
    window = first[text] + layout.choose(text, token)
    order = np.argsort(window, kind="stable")
    positions = (layout.before[text] + token - starts[window]).astype(np.int32)
    bounds = row_bounds(np.bincount(window, minlength=len(starts)))
    return Ragged(positions[order], bounds), Ragged(word[order], bounds)


def _pack(rows: Sequence[NDArray[Any]], *, dtype: DTypeLike = np.int32, width: int | None = None) -> Ragged:
    empty = np.zeros(0 if width is None else (0, width), dtype=dtype)
    return Ragged(np.concatenate([empty, *rows]), row_bounds(list(map(len, rows))))


def _window_layout(
    sequences: Sequence[NDArray[np.floating]],
    *,
    last: int,
    max_length: int,
    side: str,
    stride: int | Literal["half"],
) -> _WindowLayout:
    """Return the window layout of texts, given the sequence id of each token: NaN for special tokens."""
    lengths, before, after = (np.zeros(len(sequences), dtype=np.int64) for _ in range(3))
    for i, row in enumerate(sequences):
        inside = np.flatnonzero(row == last)
        lengths[i] = len(inside)
        before[i] = inside[0] if len(inside) else len(row)
        after[i] = len(row) - before[i] - lengths[i]
    size = np.maximum(max_length - before - after, 0)
    lengths = np.where(size > 0, lengths, 0)
    half = size // 2
    shared = half if stride == "half" else np.minimum(stride, half if last else size - 1)
    step = np.maximum(size - shared, 1)
    count = 1 + -(-np.maximum(lengths - size, 0) // step)
    return _WindowLayout(lengths, before, after, count, size, step, backwards=side == "left")


def _join(values: NDArray[Any], before: int, start: int, end: int, after: int) -> NDArray[Any]:
    """Return one window of a text, with the special tokens of the text around it."""
    if end - start + before + after in (0, len(values)):  # 0: only the placeholder of a text without tokens
        return values
    return np.concatenate([values[:before], values[before + start : before + end], values[len(values) - after :]])

"""Examples: validated rows and raw inputs, their texts to tokenize, and the parsing of raw values.

The functions that parse raise ValueError with the rule that a value breaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.word_alignment import Span, join_words
from nlpmtl.data.word_splitting import WHITESPACE, WordSplitting
from nlpmtl.errors import quote
from nlpmtl.strict_json import has_surrogate

_MAX_CHARACTERS = 60
"""Characters of a value that a message shows."""


def to_plain(value: Any) -> Any:
    """Convert an Arrow scalar to a Python value."""
    return value.as_py() if hasattr(value, "as_py") else value


def describe_value(value: object) -> str:
    """Return a value and its type for a message, such as ``nan (float)``."""
    return "None" if value is None else f"{quote(value, limit=_MAX_CHARACTERS)} ({type(value).__name__})"


def are_strings(values: Sequence[Any]) -> bool:
    """Return whether all values are strings without lone surrogates."""
    return set(map(type, values)) <= {str} and not has_surrogate("".join(values))


def to_text(value: Any) -> str:
    """Return a text, which may be empty."""
    if value is None:
        raise ValueError("missing or null")
    if not isinstance(value, str):
        raise ValueError("a string was expected")
    if has_surrogate(value):
        raise ValueError("not valid Unicode")
    return value


def to_words(value: Any) -> list[str]:
    """Return the words of a pre-tokenized text: at least one."""
    if value is None:
        raise ValueError("missing or null")
    if not isinstance(value, list | tuple):
        raise ValueError("a list of words was expected")
    if not value:
        raise ValueError("at least one word was expected")
    if are_strings(value):
        return list(value)
    for number, word in enumerate(value, 1):
        if not isinstance(word, str):
            raise ValueError(f"word {number} is not a string")
        if has_surrogate(word):
            raise ValueError(f"word {number} is not valid Unicode")
    return list(value)


@dataclass(frozen=True, slots=True)
class TextInput:
    """A text or a pair of texts to be tokenized. Equal ones of a row are tokenized and encoded once for all tasks.

    Args:
        text: the text, or the first text of a pair.
        pair: the second text of a pair.
        words: start and end of each word in `text`, in characters; None if no task needs positions of words.
        stride: number of tokens that two windows of a long input share ("half": half of the tokens of a window); None:
            the input is truncated. Of a pair, the second text is cut, and each window has the first text.
        offsets: whether the character offsets of the tokens are needed.
    """

    text: str
    pair: str | None = None
    words: Sequence[Span] | None = field(default=None, hash=False)
    stride: int | Literal["half"] | None = None
    offsets: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The text, or both texts of a pair."""
        return (self.text,) if self.pair is None else (self.text, self.pair)


@dataclass(frozen=True)
class Input:
    """One input to predict for.

    Args:
        text: the text; pre-tokenized words are joined with single spaces.
        pair: the second text of a pair.
        given: the spans of the words, if the input is words.
        splitting: the rule that splits a raw text into words.
    """

    text: str
    pair: str | None = None
    given: Sequence[Span] | None = None
    splitting: WordSplitting = WHITESPACE

    @cached_property
    def words(self) -> Sequence[Span]:
        """The spans of the words, computed on first use because not every task needs them."""
        return self.splitting.split(self.text) if self.given is None else self.given

    @cached_property
    def encoded(self) -> tuple[str, Sequence[Span]]:
        """The text for the encoder, with spaces between words as in training, and the spans of the words in it."""
        if self.given is not None or self.pair is not None or not self.splitting.joins:
            return self.text, self.words
        return join_words([self.text[start:end] for start, end in self.words])

    def text_input(
        self, *, words: bool = False, stride: int | Literal["half"] | None = None, offsets: bool = False
    ) -> TextInput:
        """Return the text input to tokenize; see `TextInput` for the arguments."""
        return TextInput(self.encoded_text, self.pair, _EncodedWords(self) if words else None, stride, offsets)

    @property
    def encoded_text(self) -> str:
        """The text for the encoder."""
        return self.encoded[0] if self.splitting.joins else self.text


@dataclass(frozen=True)
class _EncodedWords(Sequence[Span]):
    """The spans of the words of an input in the text for the encoder, computed when they are first read.

    The spans of a long text are therefore not in memory together with the encodings of the tokenizer.
    """

    input: Input

    def __len__(self) -> int:
        return len(self.input.encoded[1])

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        return self.input.encoded[1][index]

    def __iter__(self) -> Iterator[Span]:
        return iter(self.input.encoded[1])


def is_missing(value: Any) -> bool:
    """Return whether a cell is null, as sources and pandas write it: None, NaN or NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def to_input(value: Any, *, columns: Mapping[str, str] | None = None) -> Input:
    """Parse a text, a pair ``(text, pair)``, or a mapping with ``text`` (and optionally ``pair``) or ``words``.

    Args:
        value: the input.
        columns: key of a mapping = the column that its value comes from, for messages.

    Raises:
        ValueError: the value is not an input.
    """
    value = to_plain(value)
    if isinstance(value, Mapping):
        return _from_row(value, columns or {})
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"a pair has two texts, found {len(value)}; pass several inputs as a list")
        return Input(_to_text(value[0]), _to_text(value[1]))
    if isinstance(value, list):
        raise ValueError('pass pre-tokenized words as {"words": [...]} and a pair as (text, pair)')
    return Input(_to_text(value))


def _to_text(value: Any) -> str:
    """Return a text as a plain string; the error contains the value found."""
    value = to_plain(value)
    try:
        return str.__str__(to_text(value))  # converts a subclass, such as NumPy's
    except ValueError as error:
        shown = "" if isinstance(value, str) else f", found {describe_value(value)}"
        raise ValueError(f"{error}{shown}") from None


def _to_words(value: Any) -> list[str]:
    """Return words as plain strings; they may be the elements of an array."""
    value = to_plain(value)
    if not isinstance(value, str | bytes | Mapping) and getattr(value, "ndim", 1) == 1 and hasattr(value, "tolist"):
        value = value.tolist()
    try:
        return [str.__str__(word) for word in to_words(value)]
    except ValueError as error:
        raise ValueError(
            str(error) if isinstance(value, list | tuple) else f"{error}, found {describe_value(value)}"
        ) from None


def _from_row(row: Mapping[str, Any], columns: Mapping[str, str]) -> Input:
    key = "text" if "text" in row or "words" not in row else "words"
    try:
        if key == "words":
            text, spans = join_words(_to_words(row["words"]))
            return Input(text, given=spans)
        text = _to_text(row.get("text"))
        key = "pair"
        pair = to_plain(row.get("pair"))
        return Input(text, None if is_missing(pair) else _to_text(pair))
    except ValueError as error:
        what = "" if columns.get(key, key) != key else "; expected keys: `text` (and optionally `pair`), or `words`"
        raise ValueError(f"{columns.get(key, key)}: {error}{what}") from None


@dataclass(frozen=True, slots=True)
class Example:
    """A validated row, or a raw input to predict for.

    Args:
        input: its text, pair of texts or words; None for a row that was not read from a source.
        extra: further inputs, by their key in `Task.extra_inputs`.
        labels: parsed label columns, by their key in `Task.columns`; empty in prediction.
    """

    input: Input | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text, or the first text of a pair; words are joined by single spaces."""
        return self._input.text

    @property
    def pair(self) -> str | None:
        """The second text of a pair."""
        return self._input.pair

    @property
    def words(self) -> Sequence[Span]:
        """Start and end of each word in the text; a raw text is split as the training words were."""
        return self._input.words

    def text_input(
        self, *, words: bool = False, stride: int | Literal["half"] | None = None, offsets: bool = False
    ) -> TextInput:
        """Return the text, pair or words to tokenize. See `TextInput` for the arguments."""
        return self._input.text_input(words=words, stride=stride, offsets=offsets)

    @property
    def _input(self) -> Input:
        if self.input is None:
            raise ValueError("the row has no texts, because it was not read from a source")
        return self.input


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A row of the encoder's input: a whole input, or one window of a long text.

    Args:
        ids: token ids, special tokens included, ``[tokens]``.
        type_ids: token type id of each token, ``[tokens]``; None: all are 0, or the encoder takes none.
        words: position of the first token of each word that is read here, -1 for a word without a token; None where
            the input is not words. Each word of a long text is read in the window in which it is farthest from an end.
        word_ids: index of each of these words in its text; None: they are all words of the text.
        offsets: start and end of each token in the last text of the input, in characters, -1 outside it,
            ``[tokens, 2]``; None where no task needs them.
    """

    ids: NDArray[np.integer]
    words: NDArray[np.integer] | None = None
    word_ids: NDArray[np.integer] | None = None
    type_ids: NDArray[np.integer] | None = None
    offsets: NDArray[np.integer] | None = None

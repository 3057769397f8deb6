"""An example as a task type sees it, and its token sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.input_parsing import Input, TextInput
from nlpmtl.data.word_alignment import Span


@dataclass(frozen=True, slots=True)
class Example:
    """A validated row, or a raw input to predict for.

    Args:
        input: its text, pair of texts or words; None for a row of a tokenized split, whose texts are not kept.
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
        """Return its own text, pair or words as they are tokenized; the arguments are those of `TextInput`."""
        return self._input.text_input(words=words, stride=stride, offsets=offsets)

    @property
    def _input(self) -> Input:
        if self.input is None:
            raise ValueError("the texts of a tokenized split are not kept")
        return self.input


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A row of the encoder's input: a whole input, or one window of a long text.

    Args:
        ids: token ids, special tokens included, ``[tokens]``.
        type_ids: the segment of each token, ``[tokens]``; None: all are 0, or the encoder takes none.
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

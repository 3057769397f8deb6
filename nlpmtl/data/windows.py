"""Texts that are longer than the encoder reads: overlapping windows of wordpieces, and one answer for each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data.align import NO_PIECE, Span, first_pieces
from nlpmtl.data.pieces import Pieces
from nlpmtl.data.ragged import Ragged


@dataclass(frozen=True)
class Windows:
    """Texts in windows that each fit into the encoder.

    Args:
        pieces: a row for each window; ``cut`` says whether its text has more than one.
        text: which text each window is of, ascending, ``[windows]``.
        first: of each text its first window, ``[texts]``.
    """

    pieces: Pieces
    text: NDArray[np.int64]
    first: NDArray[np.int64]

    def join(self, text: int, logits: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
        """The logits of a text's words, each from the window in which it stands farthest from an end.

        Args:
            text: which.
            logits: of its windows, each ``[words, outputs]`` with NaN where a word has no wordpiece in it.

        Returns:
            ``[words, outputs]``, NaN where a word has no wordpiece at all.
        """
        if len(logits) == 1:
            return logits[0]
        assert self.pieces.firsts is not None, "windows are of words"
        start = self.first[text]
        depths = [self._depths(start + i) for i in range(len(logits))]
        chosen = np.argmax(np.stack(depths), axis=0)
        joined: NDArray[np.floating] = np.stack(logits)[chosen, np.arange(len(chosen))]
        return joined

    def _depths(self, window: int) -> NDArray[np.int64]:
        """How far each word's first wordpiece is from the nearer end of a window; −1 where it is not in it."""
        assert self.pieces.firsts is not None
        places, length = self.pieces.firsts[window].astype(np.int64), len(self.pieces.ids[window])
        return np.where(places == NO_PIECE, -1, np.minimum(places, length - 1 - places))


def tokenize_windows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, words: Sequence[Sequence[Span]], max_length: int
) -> Windows:
    """Single texts as wordpieces, in as many windows as they need; neighbours share half of what they hold.

    Args:
        tokenizer: a fast one.
        texts: the texts.
        words: the words of each.
        max_length: of a window, special tokens included.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
    encoding = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length,
        stride=room // 2,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    text = np.array(encoding["overflow_to_sample_mapping"], dtype=np.int64)
    first = np.searchsorted(text, np.arange(len(texts)))
    firsts = map(first_pieces, [words[t] for t in text], encoding["offset_mapping"])
    many = np.bincount(text, minlength=len(texts))
    pieces = Pieces(Ragged.pack(encoding["input_ids"]), None, Ragged.pack(firsts), cut=many[text] > 1)
    return Windows(pieces, text, first)

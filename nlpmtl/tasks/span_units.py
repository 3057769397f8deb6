"""Units at which spans begin and end: the words of an input of words, otherwise the tokens of a text.

Example:
    >>> import numpy as np
    >>> from nlpmtl.data import Example, TokenSequence, to_input
    >>> offsets = np.array([[-1, -1], [0, 3], [4, 8], [8, 9], [-1, -1]])  # [CLS] Ada live ##s [SEP]
    >>> sequence = TokenSequence(np.arange(5), offsets=offsets)
    >>> units = find_units(Example(to_input("Ada lives")), sequence, by_word=False)
    >>> units.locate(4, 9)
    (1, 2)
    >>> find_units(Example(to_input("Ada lives")), sequence, by_word=True).end.tolist()
    [3, 9]
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import Example, TokenSequence


class Units(NamedTuple):
    """The units of a token sequence, in order.

    Args:
        first: position of the first token of each unit, ``[units]``.
        last: position of its last token, ``[units]``.
        start: start of each unit in the text, in characters, ``[units]``.
        end: its end, exclusive, ``[units]``.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def locate(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and the last unit that a span shares a character with; None if it shares none."""
        first = int(np.searchsorted(self.end, start, side="right"))
        last = int(np.searchsorted(self.start, end, side="left")) - 1
        return (first, last) if first <= last else None


def find_units(example: Example, sequence: TokenSequence, *, by_word: bool) -> Units:
    """Return the units of a sequence that was tokenized with `offsets`.

    Args:
        example: the example, a single text or words.
        sequence: the sequence, or a window of a long text; a word that its end cuts is a unit with fewer tokens.
        by_word: whether the units are words. Otherwise they are tokens; tokens that share a character, such as the
            bytes of one character, are one unit, and the spaces at the ends of a token are not part of it.
    """
    offsets = np.zeros((0, 2), np.int64) if sequence.offsets is None else sequence.offsets.astype(np.int64)
    tokens = np.flatnonzero(offsets[:, 0] >= 0)
    offsets = offsets[tokens]
    if not by_word:
        text = example.text
        spaces = [[len(part) - len(part.lstrip()), len(part) - len(part.rstrip())] for part in _parts(text, offsets)]
        offsets = offsets + np.array(spaces, dtype=np.int64).reshape(-1, 2) * np.array([1, -1])
    kept = offsets[:, 0] < offsets[:, 1]
    tokens, starts, ends = tokens[kept], *offsets[kept].T
    if by_word:
        return _words(example, tokens, starts, ends)
    reached = np.maximum.accumulate(ends)
    begins = np.flatnonzero(np.append(True, starts[1:] >= reached[:-1])[: len(starts)])
    last = np.append(begins[1:], len(starts))[: len(begins)] - 1
    return Units(tokens[begins], tokens[last], starts[begins], reached[last])


def _words(example: Example, tokens: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Units:
    """Return the words that have a token here, given the positions and the offsets of the tokens."""
    encoded = example.text_input(words=True).words or ()
    low, high = (int(starts.min()), int(ends.max())) if len(tokens) else (0, 0)
    part = slice(  # only the words of this window, because a long text has many windows
        bisect_right(encoded, low, key=lambda word: word[1]), bisect_left(encoded, high, key=lambda word: word[0])
    )
    word_starts, word_ends = np.array(encoded[part], dtype=np.int64).reshape(-1, 2).T
    first = np.searchsorted(ends, word_starts, side="right")
    last = np.searchsorted(starts, word_ends, side="left") - 1
    here = np.flatnonzero((first <= last) & (word_starts < word_ends))
    words = np.array(example.words[part], dtype=np.int64).reshape(-1, 2)[here]
    return Units(tokens[first[here]], tokens[last[here]], words[:, 0], words[:, 1])


def _parts(text: str, offsets: NDArray[np.int64]) -> list[str]:
    return [text[start:end] for start, end in offsets.tolist()]

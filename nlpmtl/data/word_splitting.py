"""Word splitting: rules that split raw text into words."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

from nlpmtl.data.word_alignment import Span, split_words

SplittingMethod = Literal[
    "whitespace",
    "whitespace_only",
    "punctuation",
    "every_mark",
    "characters",
    "nonspace_characters",
    "cjk_characters",
]

_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3001-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
"""Scripts without spaces: Thai, Lao, Burmese, Khmer, Chinese and Japanese, with their punctuation; not the ideographic
space U+3000."""
HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_UNSPACED_OR_RUN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
RUN = re.compile(r"(?<=[^\W_])(?:_+|[^\w\s]+)(?=[^\W_])")
"""Marks between two letters or digits."""
CLITIC = re.compile(r"(?<=[^\W\d_])(n't|'(?:s|m|d|re|ve|ll))$", re.IGNORECASE)
ELISION = re.compile(r"[^\W\d_]+'")
SYMBOLS_BEFORE, SYMBOLS_AFTER = "#@", "%‰°"
"""Symbols that are written directly before and after a word; currency signs and emoji may be either."""
_WORD = re.compile(r"\S+")
ADDRESS = re.compile(r"://|@|^www\.", re.IGNORECASE)


@dataclass(frozen=True)
class WordSplitting:
    """A rule that splits raw text into words.

    Args:
        method: "whitespace" splits at white space and splits off outer punctuation; "whitespace_only" keeps punctuation
            with its word; "punctuation" also splits inside words, at the marks; "every_mark" is `split_at_marks`;
            "characters" makes every character a word; "nonspace_characters" those that are not white space;
            "cjk_characters" only those of scripts without spaces.
        marks: what "punctuation" splits off: a clitic ("'s", "n't"), an elided word ("l'"), a mark between
            letters ("-"), or between digits ("0-0"), a symbol at the start ("#…") or the end of words ("…%"), an emoji
            there ("☺…", "…☺"); default: every punctuation mark and symbol.
        whole: words that keep the mark at their end, such as abbreviations, for the methods that split off outer
            punctuation.
    """

    method: SplittingMethod = "whitespace"
    marks: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in get_args(SplittingMethod):
            raise ValueError(
                f"`word_splitting` is one of {', '.join(get_args(SplittingMethod))}; found {self.method!r}"
            )
        if not all(isinstance(mark, str) and mark for mark in self.marks):
            raise ValueError(f"`split_marks` must list strings, found {list(self.marks)!r}")
        object.__setattr__(self, "_whole", frozenset(self.whole))

    _whole: frozenset[str] = field(init=False, repr=False, compare=False)

    @property
    def joins(self) -> bool:
        """Whether the input of the encoder is the words joined with spaces, as in training, instead of the raw text."""
        return self.method != "whitespace"

    def split(self, text: str) -> list[Span]:
        """Return the spans of the words of a text.

        >>> text = "John's well-known film"
        >>> [text[a:b] for a, b in WordSplitting("punctuation", ("'s", "-")).split(text)]
        ['John', "'s", 'well', '-', 'known', 'film']
        """
        if self.method == "characters":
            return [(i, i + 1) for i in range(len(text))]
        if self.method == "every_mark":
            return split_at_marks(text)
        if self.method == "nonspace_characters":
            return [(i, i + 1) for i, character in enumerate(text) if not character.isspace()]
        if self.method == "whitespace_only":
            return [word.span() for word in _WORD.finditer(text)]
        if self.method == "punctuation" and not self.marks:
            return [part for word in _WORD.finditer(text) for part in _split_every_mark(text, *word.span())]
        if self.method == "cjk_characters":
            runs = (run.span() for run in _UNSPACED_OR_RUN.finditer(text))
            words = [
                (start + a, start + b)
                for start, end in runs
                for a, b in split_words(text[start:end], whole=self._whole)
            ]
        else:
            words = split_words(text, whole=self._whole)
        if not self.marks:
            return words
        marks = frozenset(self.marks)
        return [part for start, end in words for part in _split_marks(text, start, end, marks)]


WHITESPACE = WordSplitting()
EVERY_MARK = WordSplitting("every_mark")


def split_at_marks(text: str) -> list[Span]:
    """Split a raw text at white space, and at every punctuation mark and symbol; scripts without spaces by character.

    With these words, a character span that ends before a full stop or inside ``New York-based`` does not cut a word.

    >>> text = "New York-based (東京)"
    >>> [text[a:b] for a, b in split_at_marks(text)]
    ['New', 'York', '-', 'based', '(', '東', '京', ')']
    """
    runs = (run.span() for run in _UNSPACED_OR_RUN.finditer(text))
    return [part for start, end in runs for part in _split_every_mark(text, start, end)]


def _split_marks(text: str, start: int, end: int, marks: frozenset[str]) -> list[Span]:
    """Split one word at the given marks."""
    word = text[start:end].replace("’", "'")
    if word.isalnum():
        return [(start, end)]
    first, last = 0, len(word)
    while first < last - 1 and _outer(word[first], marks, before="", after="…"):
        first += 1
    while first < last - 1 and _outer(word[last - 1], marks, before="…", after=""):
        last -= 1
    before = [(start + i, start + i + 1) for i in range(first)]
    after = [(start + i, start + i + 1) for i in range(last, len(word))]
    return [*before, *_split_inside(text, start + first, start + last, marks), *after]


def _split_inside(text: str, start: int, end: int, marks: frozenset[str]) -> list[Span]:
    """Split one word without outer symbols at the given marks inside it."""
    word = text[start:end].replace("’", "'")
    if word.isalnum() or ADDRESS.search(word):
        return [(start, end)]
    cuts = {0, len(word)}
    clitic = CLITIC.search(word)
    if clitic and clitic[0].lower() in marks:
        cuts.add(clitic.start())
    last = clitic.start() if clitic and clitic.start() in cuts else len(word)
    elided = ELISION.match(word)
    if elided and elided.end() < last and elided[0].lower() in marks:
        cuts.add(elided.end())
    for run in RUN.finditer(word, 0, last):
        if mark_name(word[run.start() - 1], run[0], word[run.end()]) in marks:
            cuts |= {run.start(), run.end()}
    return [(start + a, start + b) for a, b in pairwise(sorted(cuts))]


def _split_every_mark(text: str, start: int, end: int) -> list[Span]:
    """Split one word at every punctuation mark and symbol."""
    if text[start:end].isalnum():
        return [(start, end)]
    cuts = {start, end}
    for i in range(start, end):
        if is_mark(text[i]):
            cuts |= {i, i + 1}
    return list(pairwise(sorted(cuts)))


def is_mark(character: str) -> bool:
    """Return whether a character is punctuation or a symbol in Unicode."""
    return not character.isalnum() and unicodedata.category(character)[0] in "PS"


def is_emoji(character: str) -> bool:
    return unicodedata.category(character) == "So" and character not in SYMBOLS_AFTER


def _outer(character: str, marks: frozenset[str], *, before: str, after: str) -> bool:
    """Return whether a symbol at the start ("#…") or the end ("…%") of a word is split off."""
    name = "☺" if is_emoji(character) else character
    return f"{before}{name}{after}" in marks


def mark_name(before: str, mark: str, after: str) -> str:
    return f"0{mark}0" if before.isdigit() and after.isdigit() else mark

"""Word splitting: rules that split raw text into words, and detection of the rule that a dataset follows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

from nlpmtl.data.word_alignment import CLOSING, MAX_WHOLE_LENGTH, Span, split_words

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
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3000-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
"""Scripts without spaces: Thai, Lao, Burmese, Khmer, Chinese and Japanese, with their punctuation."""
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_UNSPACED_OR_RUN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_RUN = re.compile(r"(?<=[^\W_])(?:_+|[^\w\s]+)(?=[^\W_])")
"""Marks between two letters or digits."""
_MARK = re.compile(r"_+|[^\w\s]+")
_CLITIC = re.compile(r"(?<=[^\W\d_])(n't|'(?:s|m|d|re|ve|ll))$", re.IGNORECASE)
_CLITIC_WORD = re.compile(r"n't|'(?:s|m|d|re|ve|ll)", re.IGNORECASE)
_ELISION = re.compile(r"[^\W\d_]+'")
_INSIDE = frozenset(["-", "‐", "–", "—", "/", "&", "+", "_", "'", ".", ",", ":", "--", "..."])
"""Marks that occur inside words. Quotes and brackets are words of their own under every rule."""
_STRICT = frozenset("',.:")
"""Marks that are often between words: a rule for one needs that no word of the data has it inside."""
_BEFORE, _AFTER = "#@", "%‰°"
"""Symbols that are written directly before and after a word; currency signs and emoji may be either."""
_WORD = re.compile(r"\S+")
_AMBIGUOUS = ".'"
"""Marks that may be part of a word at its end: abbreviations and possessives."""
_FULL_STOP = re.compile(r"[^\W\d_]{2}\.$")
_ADDRESS = re.compile(r"://|@|^www\.", re.IGNORECASE)
_MOSTLY = 0.99
_SOME = 0.05
_LEAST = 3
"""Minimum occurrences of a mark for a rule, and minimum ratio of split to unsplit ones: " - " is also a dash."""

AT_MARKS = "split at marks"
"""Name of the number of rows that `split_at_marks` split, so that the rule is known."""
_MAX_WHOLE = 500
"""Maximum number of words with a mark at their end that a model keeps, the most frequent ones."""
_MAX_WORDS = 200_000
"""The number of words to count; more do not change the rule."""


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
        """Whether the encoder reads the words joined with spaces, as in training, instead of the raw text."""
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

    So a character span that ends before a full stop or inside ``New York-based`` does not cut a word.

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
    if word.isalnum() or _ADDRESS.search(word):
        return [(start, end)]
    cuts = {0, len(word)}
    clitic = _CLITIC.search(word)
    if clitic and clitic[0].lower() in marks:
        cuts.add(clitic.start())
    last = clitic.start() if clitic and clitic.start() in cuts else len(word)
    elided = _ELISION.match(word)
    if elided and elided.end() < last and elided[0].lower() in marks:
        cuts.add(elided.end())
    for run in _RUN.finditer(word, 0, last):
        if _name(word[run.start() - 1], run[0], word[run.end()]) in marks:
            cuts |= {run.start(), run.end()}
    return [(start + a, start + b) for a, b in pairwise(sorted(cuts))]


def _split_every_mark(text: str, start: int, end: int) -> list[Span]:
    """Split one word at every punctuation mark and symbol."""
    if text[start:end].isalnum():
        return [(start, end)]
    cuts = {start, end}
    for i in range(start, end):
        if _is_mark(text[i]):
            cuts |= {i, i + 1}
    return list(pairwise(sorted(cuts)))


def _is_mark(character: str) -> bool:
    """Return whether a character is punctuation or a symbol in Unicode."""
    return not character.isalnum() and unicodedata.category(character)[0] in "PS"


def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) == "So" and character not in _AFTER


def _outer(character: str, marks: frozenset[str], *, before: str, after: str) -> bool:
    """Return whether a symbol at the start ("#…") or the end ("…%") of a word is split off."""
    name = "☺" if _is_emoji(character) else character
    return f"{before}{name}{after}" in marks


def _outer_names(word: str, before: str, after: str) -> Iterator[str]:
    """Yield the names of a symbol that is a word, "#…" before a word and "…%" after one."""
    if len(word) != 1:
        return
    is_currency, is_emoji = unicodedata.category(word) == "Sc", _is_emoji(word)
    name = "☺" if is_emoji else word
    if after[:1].isalnum() and (word in _BEFORE or is_currency or is_emoji):
        yield f"{name}…"
    if before[-1:].isalnum() and (word in _AFTER or is_emoji or (is_currency and not after[:1].isdigit())):
        yield f"…{name}"


def _name(before: str, mark: str, after: str) -> str:
    return f"0{mark}0" if before.isdigit() and after.isdigit() else mark


class WordCounts:
    """Statistics of how words are split in the first rows of a dataset; those of several datasets can be added.

    Args:
        counts: the counts by name.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: Counter[str] = Counter(counts or {})

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Count words of rows."""
        for words in rows:
            if self.counts["words"] >= _MAX_WORDS:
                return
            plain = [word.replace("’", "'") for word in words if word]  # empty words leave no trace in raw text
            self.counts["rows"] += 1
            for i, word in enumerate(plain):
                self._add(word, plain[i - 1] if i else "", plain[i + 1] if i + 1 < len(plain) else "")
        self._prune()

    def _prune(self) -> None:
        """Remove the counts of words that are not among the most frequent ones with a mark at their end."""
        ends = Counter({name: count for name, count in self.counts.items() if name.startswith("end ")})
        kept = {name.removeprefix("end ") for name, _ in ends.most_common(_MAX_WHOLE)}
        for name in [name for name in self.counts if name.startswith(("end ", "cut "))]:
            if name[4:] not in kept:
                del self.counts[name]

    def _add(self, word: str, before: str, after: str) -> None:
        counts = self.counts
        unspaced = _HAS_UNSPACED.search(word) is not None
        counts["words"] += 1
        counts["space"] += word.isspace()
        if len(word) > 1:
            counts["long unspaced" if unspaced else "long"] += 1
        elif unspaced:
            counts["single unspaced"] += 1
        elif word.isalnum() and len(after) == 1 and after.isalnum() and not _HAS_UNSPACED.search(after):
            counts["letters apart"] += 1
        if word.isalnum():
            return
        if word[-1] in CLOSING:
            is_cut = len(word) == 1 and before[-1:].isalnum()
            self.counts[f"cut {before}{word}" if is_cut else f"end {word}"] += is_cut or word[0].isalnum()
        self._add_marks(word, before)
        self._add_outer(word, before, after)
        if (before and _CLITIC_WORD.fullmatch(word)) or (after[:1].isalnum() and _ELISION.fullmatch(word)):
            counts[f"split {word.lower()}"] += 1
        elif before[-1:].isalnum() and after[:1].isalnum() and _MARK.fullmatch(word):
            # Commas are between words anyway: only "U . S" and "3 . 5" show that a mark is split off inside a word.
            if word not in ".,:" or len(before) == len(after) == 1 or (before + after).isdigit():
                counts[f"split {_name(before[-1], word, after[0])}"] += 1
        elif len(word) > 1 and not _ADDRESS.search(word):
            self._add_whole(word)

    def _add_marks(self, word: str, before: str) -> None:
        marks = [_is_mark(character) for character in word]
        if any(marks) and not all(marks):
            self.counts["mixed"] += 1
            closed = word[-1] in CLOSING and word[-1] not in _AMBIGUOUS and not marks[-2]
            self.counts["closing attached"] += closed or _FULL_STOP.search(word) is not None
        elif before and not _is_mark(before[-1]) and word[0] in CLOSING:
            self.counts["closing apart"] += 1

    def _add_outer(self, word: str, before: str, after: str) -> None:
        """Count symbols at the start and the end of words: apart, or as a part of the word."""
        for name in _outer_names(word, before, after):
            self.counts[f"split {name}"] += 1
        if len(word) > 1:
            for name in (*_outer_names(word[0], "", word[1]), *_outer_names(word[-1], word[-2], "")):
                self.counts[f"whole {name}"] += 1

    def _add_whole(self, word: str) -> None:
        clitic, elided = _CLITIC.search(word), _ELISION.match(word)
        if clitic:
            self.counts[f"whole {clitic[0].lower()}"] += 1
        if elided and elided.end() < len(word):
            self.counts[f"whole {elided[0].lower()}"] += 1
        for run in _RUN.finditer(word):
            if not (clitic and run.start() >= clitic.start()):
                self.counts[f"whole {_name(word[run.start() - 1], run[0], word[run.end()])}"] += 1

    def splitting(self) -> WordSplitting:
        """Return the rule that the words follow."""
        counts = self.counts
        if counts[AT_MARKS]:
            return EVERY_MARK
        single = counts["words"] - counts["long"] - counts["long unspaced"]
        unspaced = counts["single unspaced"] + counts["long unspaced"]
        marks = sorted(name.removeprefix("split ") for name in counts if name.startswith("split "))
        kept = tuple(mark for mark in marks if self._is_split(mark))
        by_character = WordSplitting("characters" if counts["space"] else "nonspace_characters")
        if unspaced > _SOME * counts["words"] and counts["single unspaced"] >= _MOSTLY * unspaced:
            whole = counts["long"] > counts["letters apart"]
            return WordSplitting("cjk_characters", kept, self._whole_words()) if whole else by_character
        if counts["words"] and single >= _MOSTLY * counts["words"]:
            return by_character
        if self._keeps_closing_marks():
            return WordSplitting("whitespace_only")
        if self._splits_every_mark(kept):
            return WordSplitting("punctuation")
        return WordSplitting("punctuation" if kept else "whitespace", kept, self._whole_words())

    def _whole_words(self) -> tuple[str, ...]:
        """Return the words that are written with the mark at their end more often than with the mark apart."""
        ends = {name.removeprefix("end "): count for name, count in self.counts.items() if name.startswith("end ")}
        whole = [word for word, count in ends.items() if count > self.counts[f"cut {word}"]]
        common = sorted(whole, key=lambda word: (-ends[word], word))[:_MAX_WHOLE]
        return tuple(sorted(word for word in common if len(word) <= MAX_WHOLE_LENGTH))

    def _keeps_closing_marks(self) -> bool:
        """Return whether commas and full stops are at the end of words, as after `str.split`."""
        attached = self.counts["closing attached"]
        return attached >= max(_LEAST, _SOME * self.counts["rows"]) and attached > self.counts["closing apart"]

    def _splits_every_mark(self, kept: Sequence[str]) -> bool:
        """Return whether words have no marks inside, and several kinds of marks are split off."""
        split = sum(count for name, count in self.counts.items() if name.startswith("split ") and "…" not in name)
        kept = [mark for mark in kept if "…" not in mark]
        return ("'" in kept or len(kept) > 1) and self.counts["mixed"] <= (1 - _MOSTLY) * split

    @property
    def segmented(self) -> bool:
        """Whether the data have words of several characters in a script without spaces, which no rule can find."""
        return self.counts["long unspaced"] > _SOME * self.counts["words"]

    def _is_split(self, mark: str) -> bool:
        split, whole = self.counts[f"split {mark}"], self.counts[f"whole {mark}"]
        if "…" in mark:
            return split >= _LEAST and split > _LEAST * whole
        inner = mark[1:-1] if len(mark) > 2 and mark[0] == mark[-1] == "0" else mark
        if _CLITIC_WORD.fullmatch(mark):
            return split > whole
        if _ELISION.fullmatch(mark):
            return split >= _LEAST and split > whole
        if inner not in _INSIDE or split < _LEAST:
            return False
        return not whole if inner in _STRICT else split >= _LEAST * whole

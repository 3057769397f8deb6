"""Statistics of how words are split in the first rows of a dataset, and the rule that they follow."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nlpmtl.data.word_alignment import CLOSING, MAX_WHOLE_LENGTH
from nlpmtl.data.word_splitting import (
    ADDRESS,
    CLITIC,
    ELISION,
    EVERY_MARK,
    HAS_UNSPACED,
    RUN,
    SYMBOLS_AFTER,
    SYMBOLS_BEFORE,
    WordSplitting,
    is_emoji,
    is_mark,
    mark_name,
)

_MARK = re.compile(r"_+|[^\w\s]+")
_CLITIC_WORD = re.compile(r"n't|'(?:s|m|d|re|ve|ll)", re.IGNORECASE)
_INSIDE = frozenset(["-", "‐", "–", "—", "/", "&", "+", "_", "'", ".", ",", ":", "--", "..."])
"""Marks that occur inside words. Quotes and brackets are words of their own under every rule."""
_STRICT = frozenset("',.:")
"""Marks that are often between words: a rule for one needs that no word of the data has it inside."""
_AMBIGUOUS = ".'"
"""Marks that may be part of a word at its end: abbreviations and possessives."""
_FULL_STOP = re.compile(r"[^\W\d_]{2}\.$")
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
        unspaced = HAS_UNSPACED.search(word) is not None
        counts["words"] += 1
        counts["space"] += word.isspace()
        if len(word) > 1:
            counts["long unspaced" if unspaced else "long"] += 1
        elif unspaced:
            counts["single unspaced"] += 1
        elif word.isalnum() and len(after) == 1 and after.isalnum() and not HAS_UNSPACED.search(after):
            counts["letters apart"] += 1
        if word.isalnum():
            return
        if word[-1] in CLOSING:
            is_cut = len(word) == 1 and before[-1:].isalnum()
            self.counts[f"cut {before}{word}" if is_cut else f"end {word}"] += is_cut or word[0].isalnum()
        self._add_marks(word, before)
        self._add_outer(word, before, after)
        if (before and _CLITIC_WORD.fullmatch(word)) or (after[:1].isalnum() and ELISION.fullmatch(word)):
            counts[f"split {word.lower()}"] += 1
        elif before[-1:].isalnum() and after[:1].isalnum() and _MARK.fullmatch(word):
            # Commas are between words anyway: only "U . S" and "3 . 5" show that a mark is split off inside a word.
            if word not in ".,:" or len(before) == len(after) == 1 or (before + after).isdigit():
                counts[f"split {mark_name(before[-1], word, after[0])}"] += 1
        elif len(word) > 1 and not ADDRESS.search(word):
            self._add_whole(word)

    def _add_marks(self, word: str, before: str) -> None:
        marks = [is_mark(character) for character in word]
        if any(marks) and not all(marks):
            self.counts["mixed"] += 1
            closed = word[-1] in CLOSING and word[-1] not in _AMBIGUOUS and not marks[-2]
            self.counts["closing attached"] += closed or _FULL_STOP.search(word) is not None
        elif before and not is_mark(before[-1]) and word[0] in CLOSING:
            self.counts["closing apart"] += 1

    def _add_outer(self, word: str, before: str, after: str) -> None:
        """Count symbols at the start and the end of words: apart, or as a part of the word."""
        for name in _outer_names(word, before, after):
            self.counts[f"split {name}"] += 1
        if len(word) > 1:
            for name in (*_outer_names(word[0], "", word[1]), *_outer_names(word[-1], word[-2], "")):
                self.counts[f"whole {name}"] += 1

    def _add_whole(self, word: str) -> None:
        clitic, elided = CLITIC.search(word), ELISION.match(word)
        if clitic:
            self.counts[f"whole {clitic[0].lower()}"] += 1
        if elided and elided.end() < len(word):
            self.counts[f"whole {elided[0].lower()}"] += 1
        for run in RUN.finditer(word):
            if not (clitic and run.start() >= clitic.start()):
                self.counts[f"whole {mark_name(word[run.start() - 1], run[0], word[run.end()])}"] += 1

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
        if ELISION.fullmatch(mark):
            return split >= _LEAST and split > whole
        if inner not in _INSIDE or split < _LEAST:
            return False
        return not whole if inner in _STRICT else split >= _LEAST * whole


def _outer_names(word: str, before: str, after: str) -> Iterator[str]:
    """Yield the names of a symbol that is a word, "#…" before a word and "…%" after one."""
    if len(word) != 1:
        return
    currency, emoji = unicodedata.category(word) == "Sc", is_emoji(word)
    name = "☺" if emoji else word
    if after[:1].isalnum() and (word in SYMBOLS_BEFORE or currency or emoji):
        yield f"{name}…"
    if before[-1:].isalnum() and (word in SYMBOLS_AFTER or emoji or (currency and not after[:1].isdigit())):
        yield f"…{name}"

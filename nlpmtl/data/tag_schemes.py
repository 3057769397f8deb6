"""Tag schemes: conversion of IOB2 (``bio``), IOB1 and BIOES tags to valid IOB2 tags.

Each scheme marks spans of words. ``bio`` begins every span with B-x and continues it with I-x. ``iob1`` begins a span
with I-x, and with B-x only directly after another span of type x (the original CoNLL files). ``bioes`` also marks the
last word of a span (E-x) and spans of one word (S-x); the letters of BILOU (L, U) and BMES/BMEWO (M, W) are read as
I, E and S.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tag_notations import OUTSIDE, as_bio, in_brackets

Scheme = Literal["bio", "iob1", "bioes", "plain"]
SPANS: tuple[Scheme, ...] = ("bio", "iob1", "bioes")
"""The schemes of spans."""

_LETTERS = {**{letter: letter for letter in "BIES"}, "M": "I", "L": "E", "U": "S", "W": "S"}
_KNOWN: dict[Scheme, str] = {"bio": "BI", "iob1": "BI", "bioes": "BIES"}
_OUTSIDE = "O"
_TOLERANCE = 0.01
"""The maximum fraction of spans that may contradict a scheme."""


@dataclass(frozen=True)
class Contradiction:
    """Spans of a column that its scheme does not allow.

    Args:
        spans: the number of spans.
        wrong: the number of spans that contradict the scheme.
        row: the row of the first contradicting span.
        word: the number of its first word in that row, from 1.
        tag: the tag of that word.
        fitting: the scheme that fits, or None.
        notation: what to write instead, if the tags are spans in another notation; then no scheme fits.
    """

    spans: int
    wrong: int
    row: int
    word: int
    tag: str
    fitting: Scheme | None
    notation: str | None = None


def to_bio(column: LabelColumn, scheme: Scheme) -> LabelColumn:
    """Return the tags of a column as valid `bio` tags; tags outside the scheme are unchanged."""
    if scheme == "plain":
        return column
    tags = _Tags(column, scheme)
    if scheme == "bio" and not (tags.begins & (tags.letters == "I")).any():
        return column
    kinds, table = tags.kinds, np.arange(len(column.names))
    renamed: list[str] = list(column.names)
    begin, inside = table.copy(), table.copy()
    for code in np.flatnonzero(tags.kind_of >= 0):
        for part, prefix in ((begin, "B-"), (inside, "I-")):
            part[code] = len(renamed)
            renamed.append(prefix + kinds[tags.kind_of[code]])
    codes = np.where(tags.begins, begin[tags.codes], inside[tags.codes]).astype(np.int32)
    used = np.unique(codes)
    compact = np.zeros(len(renamed), dtype=np.int32)
    compact[used] = np.arange(len(used))
    names = [renamed[code] for code in used]
    converted = replace(column, names=tuple(names), values=Ragged(compact[codes], tags.bounds))
    return converted.rename(names)  # I-x of one scheme and E-x of another are the same tag


def names_to_bio(names: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """Convert a list of tags to `bio` tags: B-x and I-x for each type, in the order of first occurrence."""
    if scheme in ("bio", "plain"):
        return tuple(names)
    tags: dict[str, None] = {}
    for name in names:
        letter, kind = _split(name)
        pair = [f"B-{kind}", f"I-{kind}"] if letter in _KNOWN[scheme] and letter else [name]
        tags |= dict.fromkeys(pair)
    return tuple(tags)


def find_contradiction(column: LabelColumn, scheme: Scheme, *, train: bool) -> Contradiction | None:
    """Return the contradiction if more than 1% of the spans of a column contradict a scheme, else None.

    Args:
        column: the tags in the data.
        scheme: the declared scheme.
        train: whether the column is of a train split, in which a tag without a prefix is a wrong span. In other splits
            such a tag is an unknown label.
    """
    if scheme == "plain":
        return None
    wrong, spans = _count(column, scheme, bare=train)
    if len(wrong) <= _TOLERANCE * spans:
        return None
    assert isinstance(column.values, Ragged)
    first = int(wrong[0])
    row = column.values.row_of(first)
    others = [other for other in SPANS if other != scheme]
    fitting = next((other for other in others if _fits(column, other, bare=train)), None)
    notation = None if fitting else find_notation(column)
    return Contradiction(
        spans=spans,
        wrong=len(wrong),
        row=row,
        word=first - int(column.values.bounds[row]) + 1,
        tag=column.names[column.values.values[first]],
        fitting=fitting or ("plain" if notation is None and _is_plain(column) else None),
        notation=notation,
    )


def fill_gaps(column: LabelColumn) -> LabelColumn:
    """Return a column in which words without a tag have one that fits the next word: B-x before I-x, otherwise O."""
    assert isinstance(column.values, Ragged)
    codes, bounds = column.values.values, column.values.bounds
    following = np.append(codes[1:], -1)
    following[bounds[1:][np.diff(bounds) > 0] - 1] = -1
    before = [f"B-{kind}" if letter == "I" else _OUTSIDE for letter, kind in map(_split, column.names)]
    names = tuple(dict.fromkeys([*column.names, *before, _OUTSIDE]))
    table = np.array([names.index(name) for name in (*before, _OUTSIDE)], dtype=np.int32)
    return replace(column, names=names, values=Ragged(np.where(codes < 0, table[following], codes), bounds))


def find_notation(column: LabelColumn) -> str | None:
    """Return what to write instead of tags that are spans in another notation; None for other tags."""
    if in_brackets(column.names):
        return (
            "The tags are spans in the brackets of CoNLL-2012: convert them, so that '(PER*', '*)' are 'B-PER', 'I-PER'"
        )
    rewritten = as_bio(column.names)
    if _fraction(column, [name is not None for name in rewritten], outside=OUTSIDE) < 1 - _TOLERANCE:
        return None
    for old, new in zip(column.names, rewritten, strict=True):
        if new not in (None, old) and old not in OUTSIDE:
            return f"Tags of spans are a capital letter, a hyphen and a type: write {new!r} instead of {old!r}"
    return None


def find_spans_in_plain(column: LabelColumn) -> str | None:
    """Return a hint on the notation of the spans in a column of "plain" tags; None for tags without spans."""
    fitting = next((scheme for scheme in SPANS if _fits(column, scheme, bare=True)), None)
    if any(_split(name)[0] for name in column.names):
        return f'the tags fit scheme = "{fitting}"' if fitting else None
    return find_notation(column)


def _fits(column: LabelColumn, scheme: Scheme, *, bare: bool) -> bool:
    wrong, spans = _count(column, scheme, bare=bare)
    return len(wrong) <= _TOLERANCE * spans


def _is_plain(column: LabelColumn) -> bool:
    """Return whether hardly any tag has the prefix of a span."""
    return _fraction(column, [bool(_split(name)[0]) for name in column.names], outside=(_OUTSIDE,)) <= _TOLERANCE


def _fraction(column: LabelColumn, marked: Sequence[bool], *, outside: Collection[str]) -> float:
    """Return the fraction of the tags, without those outside of spans, whose names are marked; 0 without tags."""
    assert isinstance(column.values, Ragged)
    counts = np.bincount(column.values.values, minlength=len(column.names))
    inside = counts * np.array([name not in outside for name in column.names], dtype=np.int64)
    return float((inside * np.array(marked, dtype=np.int64)).sum() / max(1, inside.sum()))


def _count(column: LabelColumn, scheme: Scheme, *, bare: bool) -> tuple[NDArray[np.int64], int]:
    """Return the first words of the spans that contradict a scheme, and the number of spans."""
    tags = _Tags(column, scheme)
    letters = [_split(name)[0] for name in column.names]
    outside_scheme = [
        letter not in _KNOWN[scheme] if letter else bare and name != _OUTSIDE
        for letter, name in zip(letters, column.names, strict=True)
    ]
    unknown = np.array(outside_scheme, dtype=np.bool_)[tags.codes]
    starts = np.flatnonzero(tags.begins)
    if scheme == "bio":
        wrong = tags.begins & (tags.letters == "I")
    elif scheme == "iob1":
        wrong = tags.begins & (tags.letters == "B") & ~tags.follows
    else:
        last = (tags.kind >= 0) & ~np.append(tags.continues, False)[1:]
        expected = np.where(tags.begins, np.where(last, "S", "B"), np.where(last, "E", "I"))
        misfits = np.flatnonzero((tags.kind >= 0) & (tags.letters != expected))
        wrong = np.zeros(len(tags.codes), dtype=np.bool_)
        wrong[starts[np.searchsorted(starts, misfits, side="right") - 1]] = True
    return np.flatnonzero(wrong | unknown), len(starts) + int(unknown.sum())


class _Tags:
    """The tags of a column, word by word.

    Args:
        column: the tags.
        scheme: a scheme of spans.

    Attributes:
        kinds: the types of spans.
        kind_of: the type of each name of the column, or −1.
        codes: the tag of each word.
        bounds: the start of each row.
        kind: the type of each word, −1 outside spans.
        letters: the letter of each word's tag.
        begins: whether a word is the first of a span; a tag that continues no span begins one.
        continues: whether a word continues the span of the word before it.
        follows: whether the previous word is in a span of the same type.
    """

    def __init__(self, column: LabelColumn, scheme: Scheme) -> None:
        assert isinstance(column.values, Ragged)
        split = [_split(name) for name in column.names]
        known = [(letter, kind) if letter and letter in _KNOWN[scheme] else ("", "") for letter, kind in split]
        self.kinds = list(dict.fromkeys(kind for letter, kind in known if letter))
        self.kind_of = np.array([self.kinds.index(kind) if letter else -1 for letter, kind in known], dtype=np.int32)
        self.codes, self.bounds = column.values.values, column.values.bounds
        self.kind = self.kind_of[self.codes]
        self.letters = np.array([letter for letter, _ in known], dtype="<U1")[self.codes]
        before, ended = np.roll(self.kind, 1), np.isin(np.roll(self.letters, 1), ["E", "S"])
        starts = self.bounds[:-1]
        before[starts[starts < len(before)]] = -1
        spanned = self.kind >= 0
        self.follows = spanned & (before == self.kind)
        self.continues = self.follows & ~ended & np.isin(self.letters, ["I", "E"])
        self.begins = spanned & ~self.continues


def _split(name: str) -> tuple[str, str]:
    """Return the letter and the type of a span tag, such as ``("B", "PER")``; ``("", "")`` for other tags."""
    letter = _LETTERS.get(name[:1], "") if name[1:2] == "-" and name[2:] else ""
    return (letter, name[2:]) if letter else ("", "")

"""Tag schemes: IOB2 (``bio``), IOB1 and BIOES tags are read into one representation, valid IOB2 tags.

Each scheme marks spans of words. ``bio`` begins every span with B-x and continues it with I-x. ``iob1`` begins a span
with I-x, and with B-x only where it follows directly on another span of type x (the original CoNLL files). ``bioes``
also marks the last word of a span (E-x) and spans of one word (S-x); the letters of BILOU (L, U) and BMES/BMEWO (M, W)
are read as I, E and S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged

Scheme = Literal["bio", "iob1", "bioes", "plain"]
SPANS: tuple[Scheme, ...] = ("bio", "iob1", "bioes")
"""The schemes that mark spans."""

_LETTERS = {**{letter: letter for letter in "BIES"}, "M": "I", "L": "E", "U": "S", "W": "S"}
_KNOWN: dict[Scheme, str] = {"bio": "BI", "iob1": "BI", "bioes": "BIES"}
_OUTSIDE = "O"
_TOLERATED = 0.01
"""The largest share of spans that may contradict a scheme."""


@dataclass(frozen=True)
class Contradiction:
    """Spans of a column that its scheme does not allow.

    Args:
        spans: how many spans there are.
        wrong: how many of them contradict the scheme.
        row: the row of the first of these …
        word: … the word in that row, from 1 …
        tag: … and its tag.
        fitting: the scheme that fits, or None.
    """

    spans: int
    wrong: int
    row: int
    word: int
    tag: str
    fitting: Scheme | None


def to_bio(column: LabelColumn, scheme: Scheme) -> LabelColumn:
    """Return the tags of a column as valid `bio` tags; tags that the scheme does not know stay as they are."""
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
    """A list of tags as one of `bio` tags: B-x and I-x for each type, in the order of their first tags."""
    if scheme in ("bio", "plain"):
        return tuple(names)
    found: dict[str, None] = {}
    for name in names:
        letter, kind = _split(name)
        pair = [f"B-{kind}", f"I-{kind}"] if letter in _KNOWN[scheme] and letter else [name]
        found |= dict.fromkeys(pair)
    return tuple(found)


def find_contradiction(column: LabelColumn, scheme: Scheme, *, train: bool) -> Contradiction | None:
    """Return what contradicts a scheme in more than 1% of the spans of a column; None if the scheme fits.

    Args:
        column: tags as the data have them.
        scheme: the declared scheme.
        train: whether the column is of a train split, where each tag without a prefix counts as a wrong span. In other
            splits such a tag is a label that the model does not know.
    """
    if scheme == "plain":
        return None
    wrong, spans = _count(column, scheme, bare=train)
    if len(wrong) <= _TOLERATED * spans:
        return None
    assert isinstance(column.values, Ragged)
    first = int(wrong[0])
    row = column.values.row_of(first)
    others = [other for other in SPANS if other != scheme]
    fitting = next((other for other in others if _fits(column, other, bare=train)), None)
    return Contradiction(
        spans=spans,
        wrong=len(wrong),
        row=row,
        word=first - int(column.values.bounds[row]) + 1,
        tag=column.names[column.values.values[first]],
        fitting=fitting or ("plain" if _is_plain(column) else None),
    )


def _fits(column: LabelColumn, scheme: Scheme, *, bare: bool) -> bool:
    wrong, spans = _count(column, scheme, bare=bare)
    return len(wrong) <= _TOLERATED * spans


def _is_plain(column: LabelColumn) -> bool:
    """Whether hardly any of the tags has the prefix of a span."""
    assert isinstance(column.values, Ragged)
    counts = np.bincount(column.values.values, minlength=len(column.names))
    marked = sum(int(n) for n, name in zip(counts, column.names, strict=True) if _split(name)[0])
    outside = sum(int(n) for n, name in zip(counts, column.names, strict=True) if name == _OUTSIDE)
    return marked <= _TOLERATED * (int(counts.sum()) - outside)


def _count(column: LabelColumn, scheme: Scheme, *, bare: bool) -> tuple[NDArray[np.int64], int]:
    """The first words of the spans that contradict a scheme, and how many spans there are."""
    tags = _Tags(column, scheme)
    letters = [_split(name)[0] for name in column.names]
    strange = [
        letter not in _KNOWN[scheme] if letter else bare and name != _OUTSIDE
        for letter, name in zip(letters, column.names, strict=True)
    ]
    unknown = np.array(strange, dtype=np.bool_)[tags.codes]
    starts = np.flatnonzero(tags.begins)
    if scheme == "bio":
        wrong = tags.begins & (tags.letters == "I")
    elif scheme == "iob1":
        wrong = tags.begins & (tags.letters == "B") & ~tags.follows
    else:
        last = (tags.kind >= 0) & ~np.append(tags.continues, False)[1:]
        right = np.where(tags.begins, np.where(last, "S", "B"), np.where(last, "E", "I"))
        misfits = np.flatnonzero((tags.kind >= 0) & (tags.letters != right))
        wrong = np.zeros(len(tags.codes), dtype=np.bool_)
        wrong[starts[np.searchsorted(starts, misfits, side="right") - 1]] = True
    return np.flatnonzero(wrong | unknown), len(starts) + int(unknown.sum())


class _Tags:
    """The tags of a column, word by word.

    Args:
        column: the tags.
        scheme: one that marks spans.

    Attributes:
        kinds: the types of spans.
        kind_of: of each name of the column its type, or −1.
        codes: the tag of each word.
        bounds: where each row starts.
        kind: the type of each word, −1 outside spans.
        letters: the letter of each word's tag.
        begins: whether a word is the first of a span. A tag that continues nothing begins one.
        continues: whether a word continues the span of the word before it.
        follows: whether a word follows directly on a span of its own type.
    """

    def __init__(self, column: LabelColumn, scheme: Scheme) -> None:
        assert isinstance(column.values, Ragged)
        split = [_split(name) for name in column.names]
        own = [(letter, kind) if letter and letter in _KNOWN[scheme] else ("", "") for letter, kind in split]
        self.kinds = list(dict.fromkeys(kind for letter, kind in own if letter))
        self.kind_of = np.array([self.kinds.index(kind) if letter else -1 for letter, kind in own], dtype=np.int32)
        self.codes, self.bounds = column.values.values, column.values.bounds
        self.kind = self.kind_of[self.codes]
        self.letters = np.array([letter for letter, _ in own], dtype="<U1")[self.codes]
        before, ended = np.roll(self.kind, 1), np.isin(np.roll(self.letters, 1), ["E", "S"])
        starts = self.bounds[:-1]
        before[starts[starts < len(before)]] = -1
        spanned = self.kind >= 0
        self.follows = spanned & (before == self.kind)
        self.continues = self.follows & ~ended & np.isin(self.letters, ["I", "E"])
        self.begins = spanned & ~self.continues


def _split(name: str) -> tuple[str, str]:
    """The letter and the type of a tag that marks a span, such as ``("B", "PER")``; ``("", "")`` of another."""
    letter = _LETTERS.get(name[:1], "") if name[1:2] == "-" and name[2:] else ""
    return (letter, name[2:]) if letter else ("", "")

"""Label spelling: which label names mean the same label, and the order of label names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from nlpmtl.errors import plain

_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_BOOLEANS = {word: word.lower() for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_LOWER = frozenset(_BOOLEANS.values())


@dataclass(frozen=True)
class Spelling:
    """The normalization of one task's label names.

    Names are compared in NFC, without white space at their ends. If all names of train are whole numbers, ``1.0`` and
    ``+1`` are ``1``. If all of them are booleans, or the data also have ``true``, then ``True`` is ``true``: a CSV file
    written by pandas has the same labels as JSON.

    Args:
        whole: whether the names are whole numbers.
        boolean: whether the names are booleans.
    """

    whole: bool = False
    boolean: bool = False

    @classmethod
    def of(cls, names: Collection[str], *, others: Collection[str] = ()) -> Spelling:
        """Return the spelling for the names in a task's train rows, and the names in all of its rows."""
        names, others = {*map(_clean, names)}, {*map(_clean, others)}
        return cls(
            whole=bool(names) and all(_WHOLE.fullmatch(name) for name in names),
            boolean=bool(names) and (all(name in _BOOLEANS for name in names) or bool(_LOWER & {*names, *others})),
        )

    def __call__(self, name: str) -> str:
        """Return the normalized name."""
        name = _clean(name)
        whole = _WHOLE.fullmatch(name) if self.whole else None
        if whole is not None:
            return "0" if whole[1] == "-0" else whole[1].removeprefix("+")
        return _BOOLEANS.get(name, name) if self.boolean else name


def whole_number(name: str) -> int | None:
    """Return the integer that a name spells, such as 3 for ``"3"`` and ``"3.0"``; None for other names."""
    match = _WHOLE.fullmatch(name.strip())
    return int(match[1]) if match is not None and len(name) < 20 else None


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names: numbers by value, then the others as strings."""

    def key(name: str) -> tuple[bool, Decimal, str]:
        number = _NUMBER.fullmatch(name)
        return number is None, Decimal(name if number else 0), name

    return tuple(sorted(names, key=key))


def merged_names(names: Iterable[str]) -> Iterator[str]:
    """Yield a description of each label that occurs in several Unicode forms, or with and without white space."""
    forms: dict[str, set[str]] = defaultdict(set)
    for name in names:
        forms[_clean(name)].add(name)
    for form, variants in sorted(forms.items()):
        if len({variant.strip() for variant in variants}) > 1:
            yield f"{plain(form)!r} in different Unicode forms, which are one label (NFC)"
        if len({unicodedata.normalize("NFC", variant) for variant in variants}) > 1:
            yield f"{plain(form)!r} with and without white space at its ends, which are one label"


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()

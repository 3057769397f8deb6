"""Spellings of label names: which of the names in a task's data mean the same label, and their order."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_BOOLEANS = {word: word.lower() for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_LOWER = frozenset(_BOOLEANS.values())


@dataclass(frozen=True)
class Spelling:
    """How the names of one task's labels are written.

    Names are compared in NFC. ``1.0`` and ``+1`` are ``1`` where all names of train are whole numbers. ``True`` is
    ``true`` where all of them are booleans, or where the data have ``true`` too: a csv file that pandas wrote then has
    the same labels as JSON.

    Args:
        whole: whether the names are whole numbers.
        boolean: whether the names are booleans.
    """

    whole: bool = False
    boolean: bool = False

    @classmethod
    def of(cls, names: Collection[str], *, others: Collection[str] = ()) -> Spelling:
        """The spelling of a task whose train rows have these names, and the rows of other splits have others."""
        return cls(
            whole=bool(names) and all(_WHOLE.fullmatch(name) for name in names),
            boolean=bool(names) and (all(name in _BOOLEANS for name in names) or bool(_LOWER & {*names, *others})),
        )

    def __call__(self, name: str) -> str:
        """The name that stands for a name and all that mean the same."""
        name = unicodedata.normalize("NFC", name)
        whole = _WHOLE.fullmatch(name) if self.whole else None
        if whole is not None:
            return "0" if whole[1] == "-0" else whole[1].removeprefix("+")
        return _BOOLEANS.get(name, name) if self.boolean else name


def whole_number(name: str) -> int | None:
    """The integer that a name is, such as 3 of ``"3"`` and ``"3.0"``; None for other names."""
    found = _WHOLE.fullmatch(name)
    return int(found[1]) if found is not None and len(name) < 20 else None


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names: numbers by their value, then all others as strings."""

    def key(name: str) -> tuple[bool, Decimal, str]:
        number = _NUMBER.fullmatch(name)
        return number is None, Decimal(name if number else 0), name

    return tuple(sorted(names, key=key))


def merged_unicode_forms(names: Iterable[str]) -> list[str]:
    """The NFC form of each name that occurs in more than one Unicode form."""
    forms: dict[str, set[str]] = defaultdict(set)
    for name in names:
        forms[unicodedata.normalize("NFC", name)].add(name)
    return sorted(form for form, found in forms.items() if len(found) > 1)

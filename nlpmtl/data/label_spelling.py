"""Label spelling: which label names mean the same label, and the order of label names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from nlpmtl.config.names import number_name
from nlpmtl.errors import escape_control_characters

_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-][0-9]{2,3})?")
"""A decimal number as Python, pandas and spreadsheets write it; "1e3" is a code."""
_BOOLEANS = {word: word.lower() for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_LOWER = frozenset(_BOOLEANS.values())


@dataclass(frozen=True)
class Spelling:
    """The normalization of one task's label names.

    Names are compared in NFC, without white space at their ends. If all names of train are numbers, ``1.0`` and ``+1``
    are ``1``, and ``0.50`` is ``0.5``, unless one column has decimals that are equal as numbers: ``1.1`` and ``1.10``
    are then codes, such as versions. If all names are booleans, or the data also have ``true``, then ``True`` is
    ``true``: a CSV file written by pandas has the same labels as JSON.

    Args:
        number: whether the names are numbers.
        boolean: whether the names are booleans.
    """

    number: bool = False
    boolean: bool = False

    @classmethod
    def of(cls, *columns: Collection[str], others: Collection[str] = ()) -> Spelling:
        """Return the spelling of a task.

        Args:
            columns: the names in each of its train columns.
            others: the names in all of its rows.
        """
        names = {_clean(name) for column in columns for name in column}
        return cls(
            number=bool(names) and all(map(is_number, names)) and not any(map(equal_codes, columns)),
            boolean=bool(names)
            and (all(name in _BOOLEANS for name in names) or bool(_LOWER & {*names, *map(_clean, others)})),
        )

    def __call__(self, name: str) -> str:
        """Return the normalized name."""
        name = _clean(name)
        if self.number and is_number(name):
            return _number_name(name)
        return _BOOLEANS.get(name, name) if self.boolean else name


def whole_number(name: str) -> int | None:
    """Return the integer that a name spells, such as 3 for ``"3"`` and ``"3.0"``; None for other names."""
    match = _WHOLE.fullmatch(name.strip())
    return int(match[1]) if match is not None and len(name) < 20 else None


def is_number(name: str) -> bool:
    """Return whether a name is a decimal number."""
    return _NUMBER.fullmatch(name.strip()) is not None


def is_boolean(name: str) -> bool:
    """Return whether a name is a boolean."""
    return name.strip() in _BOOLEANS


def equal_codes(names: Iterable[str]) -> list[str]:
    """Return the names, if all are numbers, that equal another one but are codes, such as ``1.1`` and ``1.10``.

    There are none if all numbers are whole, because ``1`` and ``1.0`` are then the same label.
    """
    clean = {*map(_clean, names)}
    if not all(map(is_number, clean)) or all(map(_WHOLE.fullmatch, clean)):
        return []
    values = defaultdict(list)
    for name in sorted(clean):
        values[Decimal(name)].append(name)
    return [name for equal in values.values() if len(equal) > 1 for name in equal]


def _number_name(name: str) -> str:
    whole = _WHOLE.fullmatch(name)
    if whole is not None:
        return "0" if whole[1] == "-0" else whole[1].removeprefix("+")
    if "e" in name or name.lstrip("+-").startswith("."):
        return number_name(float(name))
    return name.removeprefix("+").rstrip("0")


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
            yield f"{escape_control_characters(form)!r} in different Unicode forms, which are one label (NFC)"
        if len({unicodedata.normalize("NFC", variant) for variant in variants}) > 1:
            yield f"{escape_control_characters(form)!r} with and without white space at its ends, which are one label"


def _clean(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()

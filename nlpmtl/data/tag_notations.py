"""Notations of tags of spans that are not read: other separators, lower case, the letter behind, brackets."""

from __future__ import annotations

import re
from collections.abc import Sequence

OUTSIDE = frozenset({"O", "o", "", "_", "-", "*"})
"""Tags outside of spans in some notation."""

_DASHES = "\\-_:/|.\u2010-\u2015\u2212"
_PREFIX = re.compile(rf"([BIESLUMW])[{_DASHES}](.+)", re.IGNORECASE)
_SUFFIX = re.compile(rf"(.+)[{_DASHES}]([BIESLUMW])", re.IGNORECASE)
_BARE = re.compile(r"([BIESLUMW])-?", re.IGNORECASE)
_BRACKETS = re.compile(r"(\([^\s()*]+)*\*\)*|-|\([^\s()*]+\)")


def as_bio(names: Sequence[str]) -> list[str | None]:
    """Return the names of span tags in the notation of BIO, None for other names.

    All tags of spans have their letter at one end, and one of them begins or continues a span (B or I).

    Example:
        >>> as_bio(["b_per", "O"])
        ['B-per', None]
        >>> as_bio(["NN", "VB"])
        [None, None]
    """
    for split in (_split_prefix, _split_suffix, _split_bare):
        parts = [split(name) if name not in OUTSIDE else None for name in names]
        if {part[0] for part in parts if part} & {"B", "I"}:
            return [f"{part[0]}-{part[1]}" if part else None for part in parts]
    return [None] * len(names)


def in_brackets(names: Sequence[str]) -> bool:
    """Return whether names are tags in brackets, such as ``(PER*``, ``*`` and ``*)`` in CoNLL-2012."""
    return any("(" in name for name in names) and all(_BRACKETS.fullmatch(name) or name in OUTSIDE for name in names)


def _split_prefix(name: str) -> tuple[str, str] | None:
    match = _PREFIX.fullmatch(name)
    return (match[1].upper(), match[2]) if match else None


def _split_suffix(name: str) -> tuple[str, str] | None:
    match = _SUFFIX.fullmatch(name)
    return (match[2].upper(), match[1]) if match else None


def _split_bare(name: str) -> tuple[str, str] | None:
    match = _BARE.fullmatch(name)
    return (match[1].upper(), "span") if match else None

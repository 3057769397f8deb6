"""Every error that nlpmtl raises on purpose.

    NlpmtlError
    ├── ConfigError      a config file, an override or an argument says something that cannot be done
    ├── DataError        a row, a file or a data set breaks a rule
    ├── ModelError       a model directory or an encoder cannot be used
    ├── RunError         a run cannot start or go on
    └── StoppedError     a run was asked to stop by a signal, and did

Catch them all at once, or any branch:

    try:
        nlpmtl.train("run.toml")
    except nlpmtl.NlpmtlError as error:
        print(error)
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class NlpmtlError(Exception):
    """The base of all of them. The message says what is wrong, where, what was found, and what to write instead."""

    exit_code = 1


class ConfigError(NlpmtlError):
    """A config file, an override or an argument says something that cannot be done."""

    exit_code = 2


class DataError(NlpmtlError):
    """A row, a file or a data set breaks a rule."""

    exit_code = 2


class ModelError(NlpmtlError):
    """A model directory or an encoder cannot be used."""

    exit_code = 2


class RunError(NlpmtlError):
    """A run cannot start or go on."""


class StoppedError(NlpmtlError):
    """A run was asked to stop by a signal, and did: what it had learnt is in a checkpoint.

    Args:
        message: where it stopped, and how it goes on.
        signal: the number of the signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, *, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


_MOST_CHARACTERS = 200
"""A longer name is compared with nothing: it resembles no name, and to find that out takes time."""


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them.

    >>> did_you_mean("temprature", ["temperature", "uniform"])
    "did you mean 'temperature'?"
    """
    names = sorted(known)
    near = find_nearest(found, names)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(map(plain, names))}" if names else "none is known here"


def find_nearest(found: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one is most like, if it is much like one."""
    names = list(known)
    near = [name for name in names if name.strip().casefold() == found.strip().casefold()]
    if not near and len(found) <= _MOST_CHARACTERS:
        near = difflib.get_close_matches(found, names, n=1, cutoff=0.6)
    return near[0] if near else None


def quote(value: object, *, most: int) -> str:
    """A value as an error shows it: so many characters at most, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        text = f"<{type(value).__name__}, too large to be shown>"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def plain(text: object) -> str:
    """Return text from outside, such as names in data, fit to be printed: what a terminal would obey is escaped.

    Escaped are control characters, among them escape sequences and those that change the direction of text, and
    what cannot be encoded. Line feeds are kept, and so are all kinds of spaces and the joiners of emoji and scripts.
    """
    return "".join(one if _is_shown(one) else repr(one)[1:-1] for one in str(text))


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in "\n\u200c\u200d" or unicodedata.category(character) == "Zs"


def plain_line(text: object) -> str:
    """The same with line feeds escaped too, for a name within a line."""
    return plain(text).replace("\n", "\\n")

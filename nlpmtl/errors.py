"""Exceptions of nlpmtl, and helpers for their messages.

    NlpmtlError
    ├── ConfigError      invalid config file, override or argument
    ├── DataError        invalid row, data file or dataset
    ├── ModelError       a model directory or an encoder cannot be used
    ├── RunError         a run cannot start, continue or finish
    └── StoppedError     a signal stopped the run, which saved a checkpoint

Catch all of them, or a single type:

    try:
        nlpmtl.train("run.toml")
    except nlpmtl.NlpmtlError as error:
        print(error)
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class NlpmtlError(Exception):
    """Base class. A message states what is wrong, where, the value found, and what to write instead."""

    exit_code = 1


class ConfigError(NlpmtlError):
    """Invalid config file, override or argument."""

    exit_code = 2


class DataError(NlpmtlError):
    """Invalid row, data file or dataset."""

    exit_code = 2


class ModelError(NlpmtlError):
    """A model directory or an encoder cannot be used."""

    exit_code = 2


class RunError(NlpmtlError):
    """A run cannot start, continue or finish."""


class StoppedError(NlpmtlError):
    """A signal stopped the run, which saved a checkpoint first.

    Args:
        message: the step at which the run stopped, and how to resume it.
        signal: number of the signal; the exit code is 128 + signal, as in shells.
    """

    def __init__(self, message: str, *, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


_MAX_COMPARED_LENGTH = 200
"""Longer names are not compared with the known ones, which would take long."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: the nearest known name, or all of them.

    >>> did_you_mean("temprature", ["temperature", "uniform"])
    "did you mean 'temperature'?"
    """
    names = sorted(known)
    nearest = find_nearest(name, names)
    if nearest is not None:
        return f"did you mean {nearest!r}?"
    return f"known: {', '.join(map(escape_control_characters, names))}" if names else "no names are defined"


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to an unknown one; None if none is similar."""
    names = list(known)
    matches = [candidate for candidate in names if _comparable(candidate) == _comparable(name)]
    if not matches and len(name) <= _MAX_COMPARED_LENGTH:
        matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _comparable(name: str) -> str:
    """Return a name as it is compared: without its case, white space at its ends and its Unicode form."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def quote(value: object, *, limit: int) -> str:
    """Return the repr of a value, truncated to at most `limit` characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number with too many digits
        text = f"<{type(value).__name__}, too large to be shown>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def list_some(names: Iterable[object], *, limit: int) -> str:
    """Return the first names, separated by commas, for a message.

    >>> list_some(["a", "b", "c"], limit=2)
    'a, b, …'
    """
    shown = list(map(str, names))
    return ", ".join(shown[:limit]) + (", …" if len(shown) > limit else "")


@contextmanager
def noting(where: str) -> Iterator[None]:
    """Note where it was raised on any exception within the block except those of nlpmtl, such as one of a plugin."""
    try:
        yield
    except NlpmtlError:
        raise
    except Exception as error:
        error.add_note(where)
        raise


def describe_exception(error: BaseException) -> str:
    """Return the notes, the type and the message of an exception: ``task 'a': decode(): KeyError: 'logits'``."""
    if isinstance(error, NlpmtlError):
        return str(error)
    notes = "".join(f"{note}: " for note in reversed(getattr(error, "__notes__", ())))
    return f"{notes}{type(error).__name__}: {error}"


def escape_control_characters(text: object) -> str:
    """Escape the control characters of untrusted text, such as names in data, before it is printed.

    This includes escape sequences of terminals, characters that change the direction of text, and characters that
    cannot be encoded. Line feeds, all kinds of spaces, and the joiners of emoji and scripts are kept.
    """
    return "".join(character if _is_printed(character) else repr(character)[1:-1] for character in str(text))


def _is_printed(character: str) -> bool:
    return character.isprintable() or character in "\n\u200c\u200d" or unicodedata.category(character) == "Zs"


def escape_line(text: object) -> str:
    """Escape control characters and line feeds of untrusted text that is printed within a line."""
    return escape_control_characters(text).replace("\n", "\\n")

"""Every error that nlpmtl raises on purpose.

    NlpmtlError
    ├── ConfigError      a config file, an override or an argument says something that cannot be done
    ├── DataError        a row, a file or a data set breaks a rule
    ├── ModelError       a model directory or an encoder cannot be used
    └── RunError         a run cannot start or go on

Catch them all at once, or any branch:

    try:
        nlpmtl.train("run.toml")
    except nlpmtl.NlpmtlError as error:
        print(error)
"""

from __future__ import annotations

import difflib
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


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them.

    >>> did_you_mean("temprature", ["temperature", "uniform"])
    "did you mean 'temperature'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(found, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known here"

"""Validation of config tables, with all problems in one error."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from nlpmtl.config.dataset import DataConfig, DatasetConfig
from nlpmtl.config.messages import instead, instead_of_value
from nlpmtl.config.renamed_keys import replace_old_keys
from nlpmtl.config.run import RunConfig
from nlpmtl.errors import ConfigError, quote
from nlpmtl.strict_model import MISSING, RULE, UNKNOWN, StrictModel

_KEY_MARK = "[key]"
"""Part of the location of an error in a key of a table, not in its value."""
_UNION_MEMBER = re.compile(r"[a-z-]+\[.*\]")
"""Part of the location of an error in a value of several possible types."""
_SECRET_KEY = re.compile(r"token$|secret|password|passwd|api_?key|credential", re.IGNORECASE)
_SECRET = re.compile(r"\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{16,}")
T = TypeVar("T", bound=StrictModel)


def parse_run(raw: Mapping[str, Any], *, where: str) -> RunConfig:
    """Validate the tables of a run; one ConfigError has all problems."""
    return _parse(RunConfig, raw, where)


def parse_dataset(raw: Mapping[str, Any], *, where: str) -> DatasetConfig:
    """Validate the tables of a dataset; one ConfigError has all problems."""
    return _parse(DatasetConfig, raw, where)


def parse_data(raw: Mapping[str, Any], *, where: str) -> DataConfig:
    """Validate a `data` table; one ConfigError has all problems."""
    return _parse(DataConfig, raw, where)


def check_count(value: object, *, name: str, least: int) -> int:
    """Return an argument of a Python function that is a whole number.

    Args:
        value: the argument.
        name: its name.
        least: its minimum.

    Raises:
        ConfigError: it is not a whole number, or too small.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # may fail
    except TypeError:
        number = None
    if number is None:
        raise ConfigError(f"{name}: a whole number was expected, found {value!r}")
    if number < least:
        raise ConfigError(f"{name}: must be at least {least}, found {number}")
    return number


def check_flag(value: object, *, name: str) -> bool:
    """Return an argument of a Python function that is true or false, also one of NumPy.

    Args:
        value: the argument.
        name: its name.

    Raises:
        ConfigError: it is another value: a text such as "False" would count as true.
    """
    if not isinstance(value, bool) and str(getattr(value, "dtype", "")) != "bool":
        raise ConfigError(f"{name}: True or False was expected, found {value!r}")
    return bool(value)


def _parse(model: type[T], raw: Mapping[str, Any], where: str) -> T:
    raw = replace_old_keys(raw, where=where)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        messages: dict[tuple[str, str], list[str]] = {}
        errors = error.errors(include_url=False)
        places = [tuple(map(str, details["loc"])) for details in errors]
        for details, place in zip(errors, places, strict=True):
            kind, path = details["type"], [*place]
            if _is_other_type(place, places):
                continue
            if kind != UNKNOWN:
                path = [part for part in path if not _UNION_MEMBER.fullmatch(part)]
            if kind != UNKNOWN and path[-1:] == [_KEY_MARK]:
                path.pop()
            message = details["msg"].removeprefix("Value error, ")  # the rules of the outermost table still carry it
            if kind == UNKNOWN and (advice := instead(path)):
                message = f"unknown key; {advice}"
            elif (
                kind == RULE
                and path
                and (advice := instead_of_value(path, details["input"], message=message, tables=raw))
            ):
                message = f"{message}; {advice}"
            key = ".".join(path)
            # For a rule of the outermost table, the value would be the whole table.
            shows_value = key and kind not in ("missing", MISSING)
            value = f" (found {quote(_without_secrets(details['input'], path[-1]), limit=80)})" if shows_value else ""
            messages.setdefault((f"{where}: {key + ': ' if key else ''}", value), []).append(message)
        lines = [f"{start}{', or: '.join(parts)}{value}" for (start, value), parts in messages.items()]
        raise ConfigError("\n".join(lines)) from None


def _is_other_type(place: tuple[str, ...], places: Collection[tuple[str, ...]]) -> bool:
    """Return whether an error is about a further type that a value might have, while a part of it is invalid."""
    *outer, last = place or ("",)
    if not _UNION_MEMBER.fullmatch(last):
        return False
    return any(len(other) > len(place) and [*other[: len(outer)]] == outer for other in places)


def _without_secrets(value: Any, key: str, *, levels: int = 20) -> Any:
    """Return a value without access tokens and passwords, which are recognised by their keys or their form."""
    inner = levels - 1
    if isinstance(value, Mapping | list | tuple) and not levels:  # nested too deeply to be printed
        return "…"
    if isinstance(value, Mapping):
        return {name: _without_secrets(item, str(name), levels=inner) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item, key, levels=inner) for item in value]
    return "…" if isinstance(value, str) and (_SECRET_KEY.search(key) or _SECRET.search(value)) else value

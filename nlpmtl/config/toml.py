"""Reading TOML files and `--set` options, with errors that name the place."""

from __future__ import annotations

import codecs
import os
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpmtl.errors import ConfigError, find_nearest
from nlpmtl.strict_model import without_numpy

_UTF_16 = "; it looks like UTF-16 or UTF-32, as some editors save it: save it as UTF-8"
_ROWS = (
    "a file of rows was found, and a run file or a dataset file (TOML) was expected: write both with "
    "`nlpmtl init {}`, or specify this file as `data.files` in a dataset file"
)
_ROW_ENDINGS = {".csv", ".tsv", ".jsonl", ".json", ".parquet", ".conll", ".conllu", ".gz", ".zip"}
"""Endings of files of rows, which are passed by mistake where a run file or a dataset file is expected."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: the file cannot be read, or is not TOML; the message has the place.
    """
    if path.suffix.lower() in _ROW_ENDINGS and os.path.isfile(path):  # noqa: PTH113 (is_file raises on a long name)
        raise ConfigError(f"{path}: {_ROWS.format(shlex.quote(str(path)))}")
    try:
        content = path.read_bytes()
        text = content.decode("utf-8").removeprefix("\ufeff")
        tables = tomllib.loads(text.replace("\r\n", "\n").replace("\r", "\n"))
        large = _find_large_integer(tables)
    except FileNotFoundError:
        raise ConfigError(_describe_missing(path)) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        is_utf16 = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in error.object
        hint = _UTF_16 if is_utf16 else ""
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}{hint}") from None
    except tomllib.TOMLDecodeError as error:
        if b"\0" in content:
            raise ConfigError(f"{path}: not TOML: a NUL character{_UTF_16}") from None
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: cannot be read: its tables or lists are nested too deeply") from None
    except ValueError as error:  # a path with a null character, an integer of thousands of digits
        raise ConfigError(f"{str(path)!r}: cannot be read: {error}") from None
    if large is not None:
        raise ConfigError(f"{path}: {large}: an integer of more than 64 bits was found, which TOML does not have")
    return tables


def _describe_missing(path: Path) -> str:
    """Describe a missing file, with the TOML file of its directory whose name is the most similar."""
    if not path.parent.is_dir():
        return f"{path}: no such file; there is no directory {str(path.parent)!r}"
    nearest = find_nearest(path.name, (other.name for other in path.parent.glob("*.toml")))
    return f"{path}: no such file" + (f"; did you mean {nearest!r}?" if nearest else "")


def _find_large_integer(value: Any, key: str = "") -> str | None:
    """Return the dotted key of an integer of more than 64 bits, which Python reads but may be unable to print."""
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else key
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    keys = (_find_large_integer(item, f"{key}.{name}" if key else str(name)) for name, item in items)
    return next((large for large in keys if large is not None), None)


def parse_override(text: str) -> tuple[str, Any]:
    """Parse ``"train.lr=3e-5"`` into a dotted key and a value: TOML if it is valid TOML, otherwise a string."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {text}: write KEY=VALUE, such as train.lr=3e-5")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
        return key.strip(), value.strip() if _find_large_integer(read, key) is not None else read
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested tables to dotted keys, with numbers of NumPy as Python numbers.

    A table inside another one is kept as a value if it is empty, or if one of its keys has a dot, such as a label.
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        is_table = isinstance(value, Mapping) and (value or not prefix) and not any("." in str(name) for name in value)
        flat |= flatten(value, f"{prefix}{key}.") if is_table else {f"{prefix}{key}": without_numpy(value)}
    return flat

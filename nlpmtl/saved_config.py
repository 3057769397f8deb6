"""Checks of the JSON files of a saved model, before anything is built from them."""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpmtl.errors import ModelError, escape_control_characters, quote
from nlpmtl.format_version import check_format_version
from nlpmtl.strict_json import dumps, has_surrogate

OWN_TYPE = "nlpmtl"
"""`model_type` in the config.json of a multi-task model."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 1e6
"""Bounds of temperatures, by which logits are divided; calibration fits one from 0.05 to 20."""
_MAX_FILE_SIZE = 64 * 2**20
"""Maximum size of a JSON file in bytes: about twice the largest tokenizer.json of known encoders."""
_MAX_VALUES = (
    (re.compile(r"num_labels|(.*_)?experts"), 100_000),
    (re.compile(r"(.*_)?(n?layers?|groups|group_num|block_sizes|block_repeats)"), 1_000),
    (re.compile(r"(.*_)?(labels|id2label|label2id)"), 1_000_000),
)
"""Keys of config.json that determine how many modules or labels are created, and the largest accepted value."""
_MAX_SIZE = 10**9
"""Largest accepted value of all other integers from which a model is built."""
_SIZE = re.compile(r"(.*_)?(size|dim|length|embeddings|heads|channels|width)|input_length|d_\w+")
"""Usual names of such integers, for callers that do not load the class of the config."""
_MIN_LENGTH = 4
"""Minimum number of tokens of a pair: three special tokens and one of text."""
_REDIRECTIONS = ("configuration_files", "transformers_weights")
"""Keys that make transformers read other files than the checked ones."""
_IMPLEMENTATION = re.compile("_?(attn|experts)_implementation(_internal)?")
"""Keys that select the code of a layer. A name with a slash is a repository of kernels, whose code would run."""


def read_table(path: Path, *, error_prefix: str) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Args:
        path: the file.
        error_prefix: start of error messages, such as ``"the model 'a/b' cannot be loaded"``.

    Raises:
        ModelError: the file is missing, not a regular file, too large, not JSON, or not an object.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise ModelError(f"{error_prefix}: {path.name} is not a regular file")
        size = status.st_size
        if size > _MAX_FILE_SIZE:
            raise ModelError(
                f"{error_prefix}: {path.name} has {size:,} bytes, more than the allowed {_MAX_FILE_SIZE:,}"
            )
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{error_prefix}: it has no file {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{error_prefix}: {path.name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{error_prefix}: {path.name} is not a JSON object")
    return value


def weight_files(directory: Path, *, error_prefix: str) -> list[Path]:
    """Return the safetensors files that transformers reads from a directory: one, or the shards of the index."""
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file() or not index.is_file():
        return [single] if single.is_file() else []
    shards = read_table(index, error_prefix=error_prefix).get("weight_map")
    names = {str(name) for name in shards.values()} if isinstance(shards, dict) else set()
    return [path for path in sorted(directory.glob("model-?????-of-?????.safetensors")) if path.name in names]


def is_size(path: str) -> bool:
    """Return whether the last part of a dotted key is a usual name of a size."""
    return _SIZE.fullmatch(path.rpartition(".")[2]) is not None


def check_own_config(config: Mapping[str, Any], *, error_prefix: str, is_read: Callable[[str], bool] = is_size) -> None:
    """Check the config.json of a multi-task model: format version, sizes and required objects.

    Args:
        config: the content of the file.
        error_prefix: start of error messages, such as ``"the model 'a/b' cannot be loaded"``.
        is_read: as in `check_config`.

    Raises:
        ModelError: a value is invalid; the message has its key.
    """
    check_format_version(config, where=f"{error_prefix}: config.json", error=ModelError)
    for key in _REDIRECTIONS:
        if config.get(key) is not None:
            value = quote(config[key], limit=80)
            raise ModelError(
                f"{error_prefix}: config.json: {key}: a model of nlpmtl does not have this key, found {value}"
            )
    for key in ("encoder_config", "tasks"):
        if not isinstance(config.get(key), Mapping) or not config[key]:
            value = quote(config.get(key), limit=80)
            raise ModelError(f"{error_prefix}: config.json: {key}: a table with entries was expected, found {value}")
    check_config(config, error_prefix=error_prefix, is_read=is_read)
    _check_tasks(config["tasks"], error_prefix=error_prefix)
    check_min_length(config.get("input_length"), error_prefix=error_prefix)


def _check_tasks(tasks: Mapping[str, Any], *, error_prefix: str) -> None:
    """Check that all numbers are finite, all strings valid Unicode, and temperatures within their bounds."""
    for name, task in tasks.items():
        where = f"{error_prefix}: config.json: tasks.{name}"
        if not isinstance(task, Mapping):
            raise ModelError(f"{where}: a table was expected, found {quote(task, limit=80)}")
        for place, _, value in _values(task):
            if isinstance(value, float) and not math.isfinite(value):
                raise ModelError(f"{where}: `{place.partition('.')[0]}` must be finite, found {value} in {place}")
        for key, value in task.items():
            text = _find_surrogate([key, value])
            if text is not None:
                name = escape_control_characters(key)
                raise ModelError(f"{where}: `{name}` must be valid Unicode, found {quote(text, limit=80)}")
        temperature = task.get("temperature", 1.0)
        is_number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if not is_number or not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
            raise ModelError(
                f"{where}: `temperature` must be a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}, "
                f"found {quote(temperature, limit=80)}"
            )


def _find_surrogate(values: list[Any]) -> str | None:
    """Return a string in nested values that has a lone surrogate, with which no prediction can be written."""
    for value in values:  # grows while it is read
        if isinstance(value, str) and has_surrogate(value):
            return value
        if isinstance(value, list):
            values += value
        elif isinstance(value, Mapping):
            values += [*value, *value.values()]
    return None


def check_min_length(length: object, *, error_prefix: str) -> None:
    """Check the maximum input length of a multi-task model.

    Raises:
        ModelError: the length is not an integer, or too small for a pair of texts.
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < _MIN_LENGTH:
        raise ModelError(
            f"{error_prefix}: config.json: input_length: an integer of at least {_MIN_LENGTH} was expected, "
            f"found {dumps(length)}"
        )


def check_config(config: Mapping[str, Any], *, error_prefix: str, is_read: Callable[[str], bool]) -> None:
    """Check the sizes in a config.json, configs inside it too, before anything is built from it.

    Args:
        config: the content of the file.
        error_prefix: start of error messages, such as ``"the model 'a/b' cannot be loaded"``.
        is_read: whether a model may be built from the value at a dotted key. Other integers, such as a recorded number
            of parameters, can be of any size.

    Raises:
        ModelError: a size is too large, or a repository of kernels is named.
    """
    for path, key, value in _values(config):
        if _IMPLEMENTATION.fullmatch(key):
            _check_implementation(value, error_prefix=f"{error_prefix}: config.json: {path}")
        size = len(value) if isinstance(value, list | Mapping) else value
        if isinstance(size, bool) or not isinstance(size, int | float):
            continue
        limit = next((limit for pattern, limit in _MAX_VALUES if pattern.fullmatch(key)), _MAX_SIZE)
        if limit == _MAX_SIZE and (isinstance(size, float) or abs(size) <= _MAX_SIZE or not is_read(path)):
            continue
        if not (size <= limit and size >= -_MAX_SIZE):
            number = f"{size} entries" if size is not value else f"{size}"
            raise ModelError(
                f"{error_prefix}: config.json: {path}: {number}, at most {limit} were expected. The file is damaged"
            )


def _check_implementation(value: object, *, error_prefix: str) -> None:
    names = value.values() if isinstance(value, Mapping) else [value]
    if any("/" in str(name) for name in names):
        raise ModelError(
            f"{error_prefix}: {quote(value, limit=80)} is a repository of kernels. A model cannot choose code that is "
            'downloaded and run; remove the key, or write an implementation of transformers such as "sdpa"'
        )


def _values(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the dotted key, its last part, and the value, of all values."""
    for key, value in config.items():
        place = f"{path}.{key}" if path else str(key)
        yield place, str(key), value
        if isinstance(value, Mapping):
            yield from _values(value, place)
        elif isinstance(value, list):
            yield from ((place, str(key), number) for number in value if isinstance(number, int | float))

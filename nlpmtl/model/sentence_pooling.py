"""Pooling of a sentence-transformers model: `modules.json` and the `config.json` of its Pooling module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from nlpmtl.config import Pooling
from nlpmtl.errors import ModelError, quote
from nlpmtl.model.checks import find_file
from nlpmtl.saved_config import read_table

_MODES: Mapping[str, Pooling] = {"cls": "first", "mean": "mean", "max": "max"}
"""Mode of sentence-transformers → pooling of nlpmtl."""
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Key of the module's config.json → mode; the vectors of several modes are concatenated."""
_MAX_FILE_SIZE = 2**20


class SentencePooling(NamedTuple):
    """Pooling of a sentence-transformers model.

    Args:
        file: path of the config in the model's directory, such as ``1_Pooling/config.json``.
        pooling: the pooling; None if it cannot be read, or nlpmtl does not have it.
        problem: why the pooling is not used; empty if it is.
    """

    file: str
    pooling: Pooling | None
    problem: str = ""


def read_sentence_pooling(name: str, *, revision: str | None) -> SentencePooling | None:
    """Return the pooling of a sentence-transformers model; None for a model without a Pooling module.

    Args:
        name: directory or Hub id.
        revision: commit on the Hub.
    """
    modules = find_file(name, "modules.json", revision)
    if modules is None:
        return None
    try:
        directory = _pooling_directory(modules)
        if directory is None:
            return None
        file = f"{directory}/config.json"
        path = find_file(name, file, revision)
        if path is None:
            return SentencePooling(file, None, "the file is missing")
        modes = _modes(read_table(path, error_prefix="the pooling cannot be read"))
    except (ModelError, OSError, ValueError, RecursionError) as error:
        return SentencePooling("modules.json", None, str(error))
    pooling = _MODES.get(modes[0]) if len(modes) == 1 else None
    problem = "" if pooling else f"nlpmtl does not have its pooling {quote(' + '.join(modes), limit=80)}"
    return SentencePooling(file, pooling, problem)


def _pooling_directory(modules: Path) -> str | None:
    """Return the directory of the Pooling module; None without one.

    Raises:
        ValueError: modules.json is too large or not a list of modules, or the directory is outside the model's.
    """
    if modules.stat().st_size > _MAX_FILE_SIZE:
        raise ValueError("modules.json is too large")
    content = json.loads(modules.read_text(encoding="utf-8"))
    if not isinstance(content, list) or not all(isinstance(module, Mapping) for module in content):
        raise ValueError("modules.json is not a list of modules")
    for module in content:
        if str(module.get("type")).rpartition(".")[2] == "Pooling":
            path = PurePosixPath(str(module.get("path")))
            if path.is_absolute() or ".." in path.parts or not str(path).isprintable():
                raise ValueError(f"modules.json: {quote(str(path), limit=80)} is not a directory of the model")
            return str(path)
    return None


def _modes(config: Mapping[str, Any]) -> list[str]:
    """Return the modes of a Pooling module, from its key `pooling_mode` or from one key per mode.

    As in sentence-transformers, a missing key means true for the mean and false for the other modes.
    """
    named = config.get("pooling_mode")
    if named is not None:
        return [str(mode) for mode in named] if isinstance(named, list) else str(named).split("+")
    return [mode for flag, mode in _FLAGS.items() if config.get(flag, mode == "mean") is True]

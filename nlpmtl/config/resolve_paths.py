"""Paths in configs: relative to the file that names them, and absolute in files that a run writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nlpmtl.config.dataset import DataConfig, are_paths
from nlpmtl.config.dataset_texts import TextsConfig
from nlpmtl.config.run import RunConfig
from nlpmtl.errors import ConfigError


def plain_config(config: RunConfig, *, output: Path) -> dict[str, Any]:
    """Return the config of a run as plain values, with absolute paths.

    Args:
        config: the config.
        output: directory of the run; it replaces that of the config.
    """
    plain = config.model_dump(mode="json")
    plain["output"] = _absolute(output)
    if os.path.isdir(config.encoder.name):  # noqa: PTH112 (is_dir raises on a long id)
        plain["encoder"]["name"] = _absolute(config.encoder.name)
    for name, dataset in config.datasets.items():
        _make_absolute(dataset.data, plain["datasets"][name]["data"])
    return plain


def _make_absolute(data: DataConfig, plain: dict[str, Any]) -> None:
    """Replace the paths of files in the plain values of `data` with absolute ones."""
    for split, value in (data.files or {}).items():
        if isinstance(value, str | Path):
            plain["files"][split] = _absolute_pattern(value)
        elif are_paths(value):
            plain["files"][split] = [_absolute_pattern(path) for path in value]
    if isinstance(data, TextsConfig):
        for texts, values in zip(data.texts, plain["texts"], strict=True):
            _make_absolute(texts.data, values["data"])


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (it also removes `..`, which Path.absolute keeps)


def _absolute_pattern(name: str | Path) -> str:
    return _absolute(resolve_path(Path(), name))


def resolve_path(base: Path, name: str | Path) -> Path:
    """Return a path that is relative to a directory, with `~` expanded."""
    try:
        return base / Path(name).expanduser()
    except RuntimeError:
        raise ConfigError(f"{name}: this home directory does not exist") from None


def resolve_files(raw: dict[str, Any], base: Path) -> None:
    """Resolve the paths of the files of a dataset, which are relative to a directory."""
    data = raw.get("data")
    files = data.get("files") if isinstance(data, dict) else None
    if isinstance(files, dict):
        for split, value in files.items():
            if isinstance(value, str | Path):
                files[split] = str(resolve_path(base, value))
            elif are_paths(value):
                files[split] = [str(resolve_path(base, path)) for path in value]


def resolve_encoder(raw: dict[str, Any], base: Path) -> None:
    """Resolve the encoder's path: a directory next to the file takes precedence over a Hub id of the same name."""
    encoder = raw.get("encoder")
    if not isinstance(encoder, dict):
        return
    name = encoder.get("name")
    if isinstance(name, str) and name and not name.startswith("package:"):
        path = resolve_path(base, name)
        if os.path.isdir(path) or name.startswith((".", "~", os.sep)):  # noqa: PTH112 (is_dir raises on a long id)
            encoder["name"] = str(path)

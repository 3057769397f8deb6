"""Paths of models and of output: checked before anything slow is done."""

from __future__ import annotations

import os
from pathlib import Path

from nlpmtl.errors import ConfigError, ModelError


def parse_output(value: object) -> Path:
    """Return the `output` argument of a run as a path.

    Raises:
        ConfigError: it is not a path, or empty, or `check_output` refuses it.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path:
        raise ConfigError(f"output: a directory was expected, as a string or a Path, found {value!r}")
    check_output(path)
    return Path(path)


def check_output(path: str | Path, *, key: str = "output") -> None:
    """Refuse a path that safetensors, JSON and the Hub cannot name.

    Args:
        path: where something will be written.
        key: the key or option that gives it, for the message.

    Raises:
        ConfigError: it is not valid Unicode, or contains a null character.
    """
    try:
        for form in (os.fspath(path), os.path.abspath(path), os.path.realpath(path)):  # noqa: PTH100 - it leaves links
            form.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{key}: the path {error.object!r} is not valid UTF-8: choose another name") from None
    except ValueError as error:
        raise ConfigError(f"{key}: {str(path)!r} cannot be a path: {error}") from None
    except FileNotFoundError:
        raise ConfigError(f"{key}: {str(path)!r} is relative, and the working directory no longer exists") from None


def find_directory(name: str | Path, *, failed: str) -> Path | None:
    """The directory of a model; None for a name that may be a Hub id.

    For the directory of a run it is the ``model`` directory inside. A leading ``~`` is the home directory.

    Args:
        name: a directory, or a Hub id.
        failed: how an error message begins.

    Raises:
        ModelError: the name can only be a path, and no directory is there; or it is a run without a model.
    """
    path = Path(name)
    if str(name).startswith("~"):
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - it leaves the name of an unknown user
    if os.path.isdir(path):  # noqa: PTH112 - is_dir raises on a long name
        if (path / "config.json").exists() or not (path / "run.json").exists():
            return path
        if (path / "model" / "config.json").exists():
            return path / "model"
        raise ModelError(f"{failed}: {path} is the directory of a run that has no model yet: finish it with --resume")
    if os.path.isfile(path):  # noqa: PTH113
        raise ModelError(f"{failed}: {path} is a file; the directory of a model was expected")
    if _is_local(str(name)):
        raise ModelError(f'{failed}: there is no such directory, and a Hub id looks like "name/model"')
    if "/" in str(name) and os.path.isdir(path.parent):  # noqa: PTH112 - as for runs/mine where runs is there
        raise ModelError(f"{failed}: there is no such directory in {path.parent}")
    return None


def _is_local(name: str) -> bool:
    """Whether a name can only be a path: a Hub id is a name, or two with a slash between them."""
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or name.endswith("/")

"""Checks of model and output paths before slow work starts."""

from __future__ import annotations

import os
from pathlib import Path

from nlpmtl.errors import ConfigError, ModelError

_MAX_LISTED = 5
"""Maximum number of directories in a hint."""


def check_output(path: object, *, key: str = "output") -> Path:
    """Return an output path with ``~`` expanded, unless it cannot be represented in safetensors, JSON and on the Hub.

    Args:
        path: output path.
        key: key or option of the path, for errors.

    Raises:
        ConfigError: the value is not a path, is empty, is not valid Unicode, or contains a null character; or its home
            directory does not exist.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise ConfigError(f"{key}: a path was expected, as a string or a Path, found {path!r}")
    try:
        expanded = Path(text).expanduser()
        for spelling in (text, os.path.abspath(expanded), os.path.realpath(expanded)):  # noqa: PTH100 - it keeps links
            spelling.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{key}: the path {error.object!r} is not valid UTF-8: choose another name") from None
    except ValueError as error:
        raise ConfigError(f"{key}: {text!r} cannot be a path: {error}") from None
    except FileNotFoundError:
        raise ConfigError(f"{key}: {text!r} is relative, and the working directory no longer exists") from None
    except RuntimeError:
        raise ConfigError(f"{key}: {text!r}: this home directory does not exist: write the whole path") from None
    return expanded


def check_writable(path: str | Path, *, key: str, file: bool = False) -> Path:
    """Return an output path with ``~`` expanded, unless it cannot be written. Nothing is written.

    Args:
        path: directory or file.
        key: key or option of the path, for errors.
        file: whether the path is that of a file.

    Raises:
        ConfigError: `check_output` refuses the path, or a file or directory cannot be written there.
    """
    path = check_output(path, key=key)
    if file and os.path.isdir(path):  # noqa: PTH112 - is_dir raises on a long name
        raise ConfigError(f"{key}: {path} is a directory; the name of a file was expected")
    folder = path.parent if file else path
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110 - as above
        folder = folder.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - as above
        if folder == path:
            raise ConfigError(f"{key}: {str(path)!r} is not a directory")
        raise ConfigError(f"{key}: {path}: cannot be written: Not a directory: {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: {path}: cannot be written: no permission to write in {folder}")
    return path


def check_new_directory(path: str | Path, *, key: str) -> Path:
    """Return an output path with ``~`` expanded, unless it cannot become a new directory.

    Args:
        path: a directory that does not exist, or is empty.
        key: key or option of the path, for errors.

    Raises:
        ConfigError: `check_writable` refuses the path, or it exists and is not an empty directory.
    """
    path = check_output(path, key=key)
    if os.path.exists(path) and not (path.is_dir() and not any(path.iterdir())):  # noqa: PTH110 - exists never raises
        raise ConfigError(f"{path} already exists: choose another directory or delete it")
    return check_writable(path, key=key)


def find_directory(name: str | Path, *, error_prefix: str) -> Path | None:
    """Return the directory of a model; None for a name that can be a Hub id.

    For the directory of a run, this is its ``model`` directory. A leading ``~`` is the home directory.

    Args:
        name: a directory or a Hub id.
        error_prefix: start of error messages.

    Raises:
        ConfigError: the name is neither a string nor a path.
        ModelError: the name is empty, the directory does not exist, or it has no model.
    """
    if not isinstance(name, str | os.PathLike):
        raise ConfigError(f"a model directory or a Hub id was expected, as a string or a Path, found {name!r}")
    if not str(name):
        raise ModelError(f"{error_prefix}: the name is empty; write a directory or a Hub id")
    path = Path(name)
    if str(name).startswith("~"):
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - it leaves the name of an unknown user
    if os.path.isdir(path):  # noqa: PTH112 - is_dir raises on a long name
        if (path / "config.json").exists():
            return path
        if not (path / "run.json").exists():
            raise ModelError(
                f"{error_prefix}: {path} is not a model directory: it has no file config.json{_suggest_models(path)}"
            )
        if (path / "model" / "config.json").exists():
            return path / "model"
        raise ModelError(
            f"{error_prefix}: {path} is the directory of a run that has no model yet: finish it with --resume"
        )
    if os.path.isfile(path):  # noqa: PTH113
        raise ModelError(f"{error_prefix}: {path} is a file; the directory of a model was expected")
    if _is_local(str(name)):
        raise ModelError(f'{error_prefix}: there is no such directory, and it is not a Hub id such as "name/model"')
    if "/" in str(name) and os.path.isdir(path.parent):  # noqa: PTH112 - as for runs/mine where runs is there
        raise ModelError(f"{error_prefix}: the directory {path} does not exist")
    return None


def _suggest_models(path: Path) -> str:
    """Return a hint at models inside a directory without a model, or of the run that it belongs to."""
    try:
        models = sorted(directory for directory in path.iterdir() if _has_model(directory))
    except OSError:
        models = []
    if not models and (path.parent / "run.json").exists() and _has_model(path.parent):
        models = [path.parent / "model"]
    return f". There is a model in {', '.join(map(str, models[:_MAX_LISTED]))}" if models else ""


def _has_model(path: Path) -> bool:
    return (path / "config.json").is_file() or (path / "model" / "config.json").is_file()


def _is_local(name: str) -> bool:
    """Return whether a name can only be a path: a Hub id is a name, or two names with a slash between them."""
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or name.endswith("/")

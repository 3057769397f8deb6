"""Output paths: checked before anything slow is done."""

from __future__ import annotations

import os
from pathlib import Path

from nlpmtl.errors import ConfigError


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

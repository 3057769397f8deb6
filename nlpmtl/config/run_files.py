"""Run files by path, or by the name of a built-in run file."""

from __future__ import annotations

import os
from pathlib import Path

from nlpmtl.errors import ConfigError, did_you_mean


def find_run_file(name: str | Path) -> Path:
    """Return the path of a run file, given a path or the name of a built-in run file."""
    path = Path(name)
    if os.path.isfile(path) or path.suffix or len(path.parts) > 1:  # noqa: PTH113 (is_file raises on a long name)
        return path
    builtin = builtin_configs() / "runs"
    if not os.path.isfile(builtin / f"{name}.toml"):  # noqa: PTH113
        known = [file.stem for file in builtin.glob("*.toml")]
        raise ConfigError(
            f"run file {str(name)!r} does not exist, and no built-in run file has this name; "
            f"{did_you_mean(str(name), known)}"
        )
    return builtin / f"{name}.toml"


def builtin_configs() -> Path:
    """Return the directory of the built-in configs: inside an installed package, next to the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "task_configs"
    return inside if inside.is_dir() else package.parent / "task_configs"

"""Atomic replacement of files and directories: at every moment the old or the new content is there, whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PART, GONE, OLD = ".part", ".gone", ".old"
"""Endings of hidden siblings: being written; being removed; replaced, where two directories cannot be exchanged."""

_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS."""
_HERE = {"linux": -100, "darwin": -2}
"""AT_FDCWD."""


def hidden(path: Path, ending: str) -> Path:
    """The hidden sibling of a path for one of the endings."""
    return path.with_name(f".{path.name}{ending}")


def write_file(path: Path, content: bytes) -> None:
    """Replace a file; where the path is a link, the link is replaced.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    part = hidden(path, PART)
    try:
        erase(part)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def replace_directory(new: Path, target: Path) -> None:
    """Put a directory, a hidden sibling, in the place of another one, which is removed.

    Linux and macOS exchange the two at once. Where that is not possible (Windows, some network file systems) the target
    is missing between two renames; `clear_leftovers` restores it if the process is killed there.

    Raises:
        OSError: it cannot be replaced.
    """
    if not os.path.lexists(target):
        new.rename(target)
        flush(target.parent)
        return
    old = new
    if not _exchange(new, target):
        old = hidden(target, OLD)
        erase(old)
        target.rename(old)
        new.rename(target)
    flush(target.parent)
    erase(old)


def clear_leftovers(directory: Path, names: Iterable[str] = ("*",)) -> None:
    """Remove what a killed process left half written or half removed, and restore what it had moved away.

    Args:
        directory: where.
        names: patterns of the names of what is replaced there.
    """
    for name in names:
        for ending in (PART, GONE):
            for path in list(directory.glob(f".{name}{ending}")):
                erase(path)
        for path in list(directory.glob(f".{name}{OLD}")):
            target = path.with_name(path.name.removeprefix(".").removesuffix(OLD))
            if os.path.lexists(target):
                erase(path)
            else:
                path.rename(target)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file a second name; where the file system has no hard links, copy it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def erase(path: Path) -> None:
    """Remove what is there, if anything is: of a link itself, not what it leads to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def flush(path: Path) -> None:
    """Have a file or the entries of a directory on the disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # it has no handles of directories
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths at once, if the system can."""
    here = _HERE.get(sys.platform)
    rename: Callable[..., Any] | None = getattr(ctypes.CDLL(None), _CALLS[sys.platform], None) if here else None
    if rename is None:
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0)


_CALLS = {"linux": "renameat2", "darwin": "renameatx_np"}


def apply_umask(directory: Path) -> None:
    """Give the safetensors files of a directory the permissions of other new files: safetensors writes them as 0600."""
    sample = directory / ".permissions"
    sample.touch()
    mode = sample.stat().st_mode & 0o777
    sample.unlink()
    for path in directory.glob("*.safetensors"):
        path.chmod(mode)

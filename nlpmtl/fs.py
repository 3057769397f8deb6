"""Atomic writes of files and directories, and file digests.

A path always has its complete old or its complete new content, even if the process is killed while it writes.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> from nlpmtl.fs import sha256_file, write_json
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "scores.json")
    ...     write_json(path, {"mean": 0.5})
    ...     sha256_file(path)[:8]
    '8e09ae11'
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from nlpmtl.strict_json import dumps

PART, REMOVED, REPLACED = ".part", ".gone", ".old"
"""Endings of hidden files and directories: new content that is being written; old content that is being removed; a
directory that is being replaced, on systems that cannot exchange two directories."""

_EXCHANGE = 2
"""Flag that exchanges two paths: RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS."""
_AT_FDCWD = {"linux": -100, "darwin": -2}
_RENAME_CALLS = {"linux": "renameat2", "darwin": "renameatx_np"}


def hidden_sibling(path: Path, ending: str) -> Path:
    """Return the path of a hidden file or directory next to a path: `ending` is `PART`, `REMOVED` or `REPLACED`."""
    return path.with_name(f".{path.name}{ending}")


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the content of a file. If the path is a link, the link itself is replaced.

    Raises:
        OSError: the file cannot be written; the old content is kept.
    """
    part = hidden_sibling(path, PART)
    try:
        remove_path(part)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the content of a file with indented JSON. Parent directories are created.

    Raises:
        OSError: the file cannot be written; the old content is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (dumps(value, indent=2) + "\n").encode())


@contextmanager
def open_atomic(path: Path) -> Iterator[TextIO]:
    """Open a temporary UTF-8 text file, which replaces the path when the block ends without an error.

    Raises:
        OSError: the file cannot be written; the old content is kept.
    """
    part = hidden_sibling(path, PART)
    try:
        remove_path(part)
        with part.open("w", encoding="utf-8") as file:
            yield file
        fsync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Create a hidden directory to write into, which replaces the target when the block ends without an error.

    Raises:
        OSError: the directory cannot be written; the old one is kept.
    """
    part = hidden_sibling(target, PART)
    try:
        remove_path(part)
        part.mkdir(parents=True)
        yield part
        for path in [*part.rglob("*"), part]:
            if not path.is_symlink():
                fsync(path)
        replace_directory(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def replace_directory(new: Path, target: Path) -> None:
    """Replace a directory with a new one from the same parent directory, and remove the old one.

    Linux and macOS exchange the two directories atomically. Elsewhere (Windows, some network file systems) two renames
    are needed. If the process is killed between them, the target is missing until `clear_leftovers` restores it.

    Raises:
        OSError: the target cannot be replaced.
    """
    if not os.path.lexists(target):
        new.rename(target)
        fsync(target.parent)
        return
    old = new
    if not _exchange(new, target):
        old = hidden_sibling(target, REPLACED)
        remove_path(old)
        target.rename(old)
        new.rename(target)
    fsync(target.parent)
    remove_path(old)


def clear_leftovers(directory: Path, names: Iterable[str] = ("*",)) -> None:
    """Remove files that a killed process left partly written or removed, and restore directories that it had moved.

    Args:
        directory: directory with the leftovers.
        names: name patterns of the files and directories to clean up.
    """
    for name in names:
        for ending in (PART, REMOVED):
            for path in list(directory.glob(f".{name}{ending}")):
                remove_path(path)
        for path in list(directory.glob(f".{name}{REPLACED}")):
            target = path.with_name(path.name.removeprefix(".").removesuffix(REPLACED))
            if os.path.lexists(target):
                remove_path(path)
            else:
                path.rename(target)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Create a hard link to a file, or a copy if the file system does not support hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def remove_path(path: Path) -> None:
    """Remove a file, a directory or a link (not the target of the link), if it exists."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # Windows cannot open directories
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(file: str | Path | BinaryIO) -> str:
    """Return the SHA-256 of a file, as 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(file, str | Path):
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def set_default_permissions(directory: Path) -> None:
    """Give the safetensors files of a directory, which are created as 0600, the permissions of other new files."""
    sample = directory / ".permissions"
    sample.touch()
    mode = sample.stat().st_mode & 0o777
    sample.unlink()
    for path in directory.glob("*.safetensors"):
        path.chmod(mode)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths atomically. Return False if the system or the file system does not support this."""
    if sys.platform not in _AT_FDCWD:
        return False
    rename: Callable[..., Any] | None = getattr(ctypes.CDLL(None), _RENAME_CALLS[sys.platform], None)
    if rename is None:
        return False
    working_directory = _AT_FDCWD[sys.platform]
    return bool(rename(working_directory, os.fsencode(first), working_directory, os.fsencode(second), _EXCHANGE) == 0)


def open_regular_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; refuse links, devices and pipes.

    Raises:
        OSError: the path does not exist or is not a regular file.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(f"{path}: not a regular file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    return os.fdopen(descriptor, "rb")

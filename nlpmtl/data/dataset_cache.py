"""The cache of tokenized datasets: atomic directory entries, verified by sha256."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from nlpmtl.fs import open_regular_file, sha256_file
from nlpmtl.strict_json import dumps

_MANIFEST = "manifest.json"
_KEY = re.compile("[0-9a-f]{64}")
_INCOMPLETE, _INCOMPLETE_0_1 = ".incomplete-", ".half-made-"
"""Prefixes of the names of incomplete entries; nlpmtl 0.1 wrote the second one."""
_MAX_UNUSED = 30 * 24 * 3600
"""Seconds after which an unused entry is removed, when a `Cache` writes its first one."""
_MAX_INCOMPLETE = 3 * 24 * 3600
"""Seconds after which an incomplete entry of a killed process is removed."""
_LOCK_TIMEOUT = 600
"""Seconds to wait for another process that writes the same entry."""
_LOG_AFTER = 2
"""Seconds of waiting after which it is logged."""
_LOG = logging.getLogger(__name__)


def cache_directory() -> Path | None:
    """Return ``$NLPMTL_CACHE``, ``$XDG_CACHE_HOME/nlpmtl``, or ``~/.cache/nlpmtl``; None without a home directory."""
    directory, parent = os.environ.get("NLPMTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if directory:
        return Path(directory)
    if parent:
        return Path(parent) / "nlpmtl"
    try:
        return Path.home() / ".cache" / "nlpmtl"
    except RuntimeError:  # the user is not in the system's list, as in some containers
        return None


class Cache:
    """A cache of directories by key, each with a manifest of the sha256 of its files.

    Args:
        root: the directory of the cache, which is created with the first entry; None if there is none.
    """

    def __init__(self, root: Path | None) -> None:
        self._known_root = root
        self._is_cleared = False

    @property
    def _root(self) -> Path:
        if self._known_root is None:
            raise OSError("this user has no home directory; set HOME or NLPMTL_CACHE")
        return self._known_root

    def find(self, key: str) -> Path | None:
        """Return the entry of a key if it exists and its files match their sha256; remove a damaged entry."""
        if self._known_root is None:
            return None
        entry = self._root / key
        try:
            if entry.is_symlink() or not entry.is_dir():
                raise FileNotFoundError(entry)
            with open_regular_file(entry / _MANIFEST) as file:
                listed = json.loads(file.read())
            intact = {path.name for path in entry.iterdir()} == {_MANIFEST, *listed} and all(
                _digest(entry / name) == digest for name, digest in listed.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):  # the manifest may be any JSON
            intact = False
        if not intact:
            with suppress(OSError):  # an entry that cannot be removed is ignored as well
                self._remove(entry)
            return None
        with suppress(OSError):
            os.utime(entry / _MANIFEST)
        return entry

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Create a temporary directory inside the cache.

        Raises:
            OSError: it cannot be created.
        """
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._is_cleared:  # once, since it reads every entry
            self._is_cleared = True
            with suppress(OSError):  # another process may remove the same entries
                self._clear()
        path = Path(tempfile.mkdtemp(dir=self._root, prefix=_INCOMPLETE))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def add(self, key: str) -> Iterator[Path]:
        """Create a directory for a new entry, which is moved into the cache when the block ends without an error.

        Raises:
            OSError: the entry cannot be written.
        """
        with self.scratch() as path:
            yield path
            listed = {file.name: _digest(file) for file in sorted(path.iterdir())}
            (path / _MANIFEST).write_text(dumps(listed), encoding="utf-8")
            with suppress(OSError):  # another process wrote the same entry first
                path.rename(self._root / key)

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold a lock on a key, to avoid that several processes tokenize the same rows.

        If the lock cannot be created, or another process holds it for too long, the block runs without it, which only
        repeats work. Waiting is logged with the process that holds the lock.
        """
        if self._known_root is None:
            yield
            return
        path = self._root / f"{key}.lock"
        lock = FileLock(path)
        with suppress(OSError, NotImplementedError):
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            _acquire(lock, path)
        if lock.is_locked:
            _sign(path)
        try:
            yield
        finally:
            lock.release()

    def _clear(self) -> None:
        """Remove entries that are unused or incomplete for long, and no other files."""
        for path in self._root.iterdir():
            incomplete = path.name.startswith((_INCOMPLETE, _INCOMPLETE_0_1))
            if incomplete or _KEY.fullmatch(path.name.removesuffix(".lock")):
                manifest = path / _MANIFEST
                used = (manifest if manifest.exists() else path).lstat().st_mtime
                if time.time() - used > (_MAX_INCOMPLETE if incomplete else _MAX_UNUSED):
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        """Remove an entry atomically; of a symbolic link, only the link."""
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        trash = Path(tempfile.mkdtemp(dir=self._root, prefix=_INCOMPLETE))
        path.rename(trash / "entry")
        shutil.rmtree(trash)


def _acquire(lock: BaseFileLock, path: Path) -> None:
    """Try to acquire a lock within `_LOCK_TIMEOUT` seconds."""
    with suppress(Timeout):
        lock.acquire(timeout=_LOG_AFTER)
        return
    _LOG.warning("waiting for %s, which tokenizes the same rows (lock file: %s)", _holder(path), path)
    try:
        lock.acquire(timeout=_LOCK_TIMEOUT)
    except Timeout:
        _LOG.warning("%s still holds %s after %d s: tokenizing without it", _holder(path), path, _LOCK_TIMEOUT)


def _sign(path: Path) -> None:
    """Write this process's id and host into its lock file, for processes that wait."""
    with suppress(OSError, ValueError):
        written = path.read_text(encoding="utf-8").split()[:1]  # by some lock implementations themselves
        if written != [str(os.getpid())]:
            path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")


def _holder(path: Path) -> str:
    """Return a description of the process that holds a lock."""
    try:
        pid, host = path.read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        return "another process"
    stopped = host == socket.gethostname() and _is_stopped(pid)
    return f"process {pid} on {host}{f' (stopped; `kill -CONT {pid}` continues it)' if stopped else ''}"


def _is_stopped(pid: str) -> bool:
    """Return whether a process is stopped; False where /proc does not exist."""
    try:
        return (
            Path("/proc", pid, "stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(") ")[2]
            .startswith(("T", "t"))
        )
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with open_regular_file(path) as file:
        return sha256_file(file)

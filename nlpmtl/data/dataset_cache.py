"""Prepared rows on disk, from one run to the next: entries that are there whole or not at all."""

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

from nlpmtl.data.arrays import open_regular_file
from nlpmtl.fs import sha256_file
from nlpmtl.strict_json import dumps

_MANIFEST = "manifest.json"
_KEY = re.compile("[0-9a-f]{64}")
_SCRATCH = ".half-made-"
_UNUSED = 30 * 24 * 3600
"""Seconds after which an entry that nobody used is removed, when another is made."""
_ABANDONED = 3 * 24 * 3600
"""Seconds after which what a killed process left half made is removed."""
_PATIENCE = 600
"""Seconds to wait for another process that makes the same entry."""
_SILENT = 2
"""Seconds to wait before that is logged."""
_LOG = logging.getLogger(__name__)


def cache_directory() -> Path | None:
    """Return ``$NLPMTL_CACHE``, ``$XDG_CACHE_HOME/nlpmtl``, or ``~/.cache/nlpmtl``; None without a home directory."""
    own, shared = os.environ.get("NLPMTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    if shared:
        return Path(shared) / "nlpmtl"
    try:
        return Path.home() / ".cache" / "nlpmtl"
    except RuntimeError:  # a user without an entry in the system's list, as in some containers
        return None


class Cache:
    """Entries by key: directories of files, each with a manifest of the sha256 of every file.

    Args:
        root: the directory that holds them; it is made when the first entry is. None: nothing can be kept.
    """

    def __init__(self, root: Path | None) -> None:
        self._known_root = root

    @property
    def _root(self) -> Path:
        if self._known_root is None:
            raise OSError("this user has no home directory; set HOME or NLPMTL_CACHE")
        return self._known_root

    def find(self, key: str) -> Path | None:
        """The entry of a key, if it is there and every byte of it is as it was written; a damaged one is removed."""
        if self._known_root is None:
            return None
        entry = self._root / key
        try:
            if entry.is_symlink() or not entry.is_dir():
                raise FileNotFoundError(entry)
            with open_regular_file(entry / _MANIFEST) as file:
                listed = json.loads(file.read())
            whole = {path.name for path in entry.iterdir()} == {_MANIFEST, *listed} and all(
                _digest(entry / name) == digest for name, digest in listed.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):  # the manifest may hold any JSON
            whole = False
        if not whole:
            with suppress(OSError):  # where it cannot be removed, it is passed over all the same
                self._remove(entry)
            return None
        with suppress(OSError):
            os.utime(entry / _MANIFEST)
        return entry

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory of this process for what it needs on the way.

        Raises:
            OSError: it cannot be made.
        """
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(OSError):  # another process clears up too
            self._clear()
        path = Path(tempfile.mkdtemp(dir=self._root, prefix=_SCRATCH))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def add(self, key: str) -> Iterator[Path]:
        """A new directory to write an entry into, which takes its place when the block ends without an error.

        Raises:
            OSError: it cannot be written.
        """
        with self.scratch() as path:
            yield path
            listed = {file.name: _digest(file) for file in sorted(path.iterdir())}
            (path / _MANIFEST).write_text(dumps(listed), encoding="utf-8")
            with suppress(OSError):  # another process was faster, and its entry says the same
                path.rename(self._root / key)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """No other process that asks for the same key is in here at the same time, unless that takes very long.

        What is made twice is only made for nothing: where no lock can be had, all go on. While it waits, it logs which
        process it waits for.
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
        """Remove what nobody used for long, and nothing that is not ours."""
        for path in self._root.iterdir():
            half_made = path.name.startswith(_SCRATCH)
            if half_made or _KEY.fullmatch(path.name.removesuffix(".lock")):
                manifest = path / _MANIFEST
                used = (manifest if manifest.exists() else path).lstat().st_mtime
                if time.time() - used > (_ABANDONED if half_made else _UNUSED):
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        """Whole, so that nobody finds half of it; of a link itself, not what it leads to."""
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        doomed = Path(tempfile.mkdtemp(dir=self._root, prefix=_SCRATCH))
        path.rename(doomed / "entry")
        shutil.rmtree(doomed)


def _acquire(lock: BaseFileLock, path: Path) -> None:
    """Acquire a lock, unless that takes very long."""
    with suppress(Timeout):
        lock.acquire(timeout=_SILENT)
        return
    _LOG.warning("waiting for %s, which prepares the same rows (lock file: %s)", _holder(path), path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        _LOG.warning("%s still holds %s after %d seconds: preparing the rows again", _holder(path), path, _PATIENCE)


def _sign(path: Path) -> None:
    """Name this process in the lock file that it holds, for those that wait."""
    with suppress(OSError, ValueError):
        if path.read_text(encoding="utf-8").split()[:1] != [str(os.getpid())]:  # some locks write there themselves
            path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")


def _holder(path: Path) -> str:
    """The process that holds a lock, as it has signed it."""
    try:
        pid, host = path.read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        return "another process"
    stopped = host == socket.gethostname() and _is_stopped(pid)
    return f"process {pid} on {host}{f' (stopped; `kill -CONT {pid}` continues it)' if stopped else ''}"


def _is_stopped(pid: str) -> bool:
    """Whether Linux says so; elsewhere nothing is known."""
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

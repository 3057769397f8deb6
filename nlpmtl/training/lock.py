"""Lock on a run's directory: one run at a time writes to it."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from filelock import FileLock, Timeout

from nlpmtl.errors import NlpmtlError, RunError
from nlpmtl.fs import write_atomic
from nlpmtl.strict_json import dumps
from nlpmtl.training.distributed import broadcast_object

LOCK = ".nlpmtl.lock"
"""File that is locked; the operating system unlocks it when the process ends."""
HOLDER = ".nlpmtl.lock.json"
"""File that describes the process that holds the lock."""
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""
_MAX_PID = 2**31
_HELD: set[Path] = set()
"""Directories whose lock this process holds, resolved."""


@contextmanager
def hold_lock(directory: Path) -> Iterator[list[str]]:
    """Create a directory and hold its lock inside the block; yield notes for the user.

    Afterwards the files of the lock are removed, and the directory if it was created here and is empty.

    Raises:
        RunError: another process, or another run in this process, holds the lock; or the directory cannot be written.
    """
    created = [path for path in (directory, *directory.parents) if not path.exists()]
    lock = FileLock(directory / LOCK, timeout=0, thread_local=False)
    try:
        notes = _acquire(lock, directory)
        try:
            yield notes
        finally:
            _release(lock, directory)
    finally:
        for path in created:
            with suppress(OSError):  # not empty
                path.rmdir()


@contextmanager
def hold_lock_on_all_ranks(directory: Path, accelerator: Accelerator) -> Iterator[list[str]]:
    """Hold the lock on rank 0; if it cannot, all ranks raise."""
    with ExitStack() as stack:
        problem: str | None = None
        notes: list[str] = []
        if accelerator.is_main_process:
            try:
                notes = stack.enter_context(hold_lock(directory))
            except NlpmtlError as error:
                problem = str(error)
        problem, notes = broadcast_object((problem, notes))
        if problem is not None:
            raise RunError(problem)
        yield notes


def _acquire(lock: FileLock, directory: Path) -> list[str]:
    """Acquire the lock, write who holds it, and return notes.

    Raises:
        RunError: the lock is held, or the directory cannot be written.
    """
    notes = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if not (directory / LOCK).exists():  # its last holder removed it after it was opened here
            lock.release()
            lock.acquire()
    except Timeout:
        raise RunError(_in_use(directory, is_locked=True)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise RunError(f"output: {directory} cannot be written: {error}") from error
        notes.append(_without_lock(directory, error))
    try:
        write_atomic(directory / HOLDER, dumps(_this_process()).encode())
    except OSError as error:
        _release(lock, directory)
        raise RunError(f"output: {directory} cannot be written: {error}") from error
    _HELD.add(directory.resolve())
    return notes


def _release(lock: FileLock, directory: Path) -> None:
    """Remove the files, then unlock: the next process creates and locks a new file."""
    _HELD.discard(directory.resolve())
    for name in (HOLDER, LOCK):
        with suppress(OSError):  # Windows cannot remove open files
            (directory / name).unlink(missing_ok=True)
    lock.release()
    if sys.platform == "win32":
        with suppress(OSError):
            (directory / LOCK).unlink(missing_ok=True)


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now().isoformat(" ", "seconds")}


def _holder(directory: Path) -> dict[str, Any]:
    """Return the process that holds the lock; empty if it has not written its file, or the file is damaged."""
    try:
        holder = json.loads((directory / HOLDER).read_text(encoding="utf-8"))
        pid, host, since = (holder[key] for key in ("pid", "host", "since"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    is_valid = type(pid) is int and 0 < pid < _MAX_PID and isinstance(host, str) and isinstance(since, str)
    return {"pid": pid, "host": host, "since": since} if is_valid else {}


def _in_use(directory: Path, *, is_locked: bool) -> str:
    """Return the message of the refusal; without a lock the process may have ended, and its number be reused."""
    holder = _holder(directory)
    if not holder:
        return f"{directory} is in use: another run has just started. Choose another output"
    process = f"process {holder['pid']} on {holder['host']}"
    if (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname()):
        process = f"another run in this process ({holder['pid']} on {holder['host']})"
    message = f"{directory} is in use by {process}, since {holder['since']}. Wait for it, or choose another output"
    files = f"remove {directory / LOCK} and {directory / HOLDER}"
    if holder["host"] != socket.gethostname():
        return f"{message}. If that machine is no longer running, {files}"
    return message if is_locked else f"{message}. If that process is not a run, {files}"


def _without_lock(directory: Path, error: Exception) -> str:
    """Return a note that files cannot be locked; the file of the holder is checked instead.

    Raises:
        RunError: the file of the holder belongs to a run that may still be active.
    """
    holder = _holder(directory)
    is_local = holder.get("host") == socket.gethostname()
    if holder and not (is_local and _has_ended(holder["pid"], directory)):
        raise RunError(_in_use(directory, is_locked=False)) from None
    return f"the file system of {directory} does not support locks ({error}): make sure that no second run writes to it"


def _has_ended(pid: int, directory: Path) -> bool:
    """Return whether a process of this machine that locked a directory has ended; False if that is unknown.

    A restarted container often gives its process the number of the one before.
    """
    if pid == os.getpid():
        return directory.resolve() not in _HELD
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False

"""A lock on an output directory, so that one run at a time writes there."""

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
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from nlpmtl.errors import NlpmtlError, RunError
from nlpmtl.fs import write_atomic
from nlpmtl.strict_json import dumps

LOCK = ".nlpmtl.lock"
"""The file that is locked; the system unlocks it when the process ends, however it does."""
HOLDER = ".nlpmtl.lock.json"
"""Which process holds the lock, for messages."""
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What some network file systems say to a lock."""


@contextmanager
def hold_lock(directory: Path) -> Iterator[list[str]]:
    """Hold the lock of a directory, which is made, while the block runs; notes for the user come back.

    Nothing of it is left afterwards, nor the directory if it was made here and is empty.

    Raises:
        RunError: another process, or another run of this one, holds it; or the directory cannot be written.
    """
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    lock = FileLock(directory / LOCK, timeout=0, thread_local=False)
    try:
        notes = _acquire(lock, directory)
        try:
            yield notes
        finally:
            _release(lock, directory)
    finally:
        for path in made:
            with suppress(OSError):  # it is not empty
                path.rmdir()


@contextmanager
def hold_lock_on_all_ranks(directory: Path, accelerator: Accelerator) -> Iterator[list[str]]:
    """`hold_lock` for several processes: the first one holds it, and all of them fail if it cannot."""
    with ExitStack() as stack:
        told: list[Any] = [None, []]
        if accelerator.is_main_process:
            try:
                told[1] = stack.enter_context(hold_lock(directory))
            except NlpmtlError as error:
                told[0] = str(error)
        broadcast_object_list(told)
        if told[0] is not None:
            raise RunError(told[0])
        yield told[1]


def _acquire(lock: FileLock, directory: Path) -> list[str]:
    """Take the lock, say who holds it, and return notes.

    Raises:
        RunError: it is held, or the directory cannot be written.
    """
    notes = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if not (directory / LOCK).exists():  # it was opened before, and locked after, its last holder removed it
            lock.release()
            lock.acquire()
    except Timeout:
        raise RunError(_in_use(directory)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise RunError(f"output: {directory} cannot be written: {error}") from error
        notes.append(_without_lock(directory, error))
    try:
        write_atomic(directory / HOLDER, dumps(_this_process()).encode())
    except OSError as error:
        _release(lock, directory)
        raise RunError(f"output: {directory} cannot be written: {error}") from error
    return notes


def _release(lock: FileLock, directory: Path) -> None:
    """Remove the files first: a process that comes later makes and locks a new one."""
    for name in (HOLDER, LOCK):
        with suppress(OSError):  # Windows removes no file that is open
            (directory / name).unlink(missing_ok=True)
    lock.release()
    if sys.platform == "win32":
        with suppress(OSError):
            (directory / LOCK).unlink(missing_ok=True)


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now().isoformat(" ", "seconds")}


def _holder(directory: Path) -> dict[str, Any]:
    """What the process that holds the lock says of itself; nothing where it has not yet, or was killed meanwhile."""
    try:
        holder = json.loads((directory / HOLDER).read_text(encoding="utf-8"))
        return {key: holder[key] for key in ("pid", "host", "since")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _in_use(directory: Path) -> str:
    holder = _holder(directory)
    if not holder:
        return f"{directory} is in use: another run has just started there. Choose another output"
    who = f"process {holder['pid']} on {holder['host']}"
    if (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname()):
        who = f"another run in this process ({holder['pid']} on {holder['host']})"
    told = f"{directory} is in use by {who}, since {holder['since']}. Wait until it ends, or choose another output"
    if holder["host"] != socket.gethostname():
        told += f". If that machine was switched off or lost, remove {directory / LOCK} and {directory / HOLDER}"
    return told


def _without_lock(directory: Path, error: Exception) -> str:
    """Go by the record of the holder where files cannot be locked, and say so.

    Raises:
        RunError: a run that may still be going on has left its record.
    """
    holder = _holder(directory)
    here = holder.get("host") == socket.gethostname()
    if holder and not (here and _has_ended(int(holder["pid"]))):
        raise RunError(_in_use(directory)) from None
    return f"the file system of {directory} has no locks ({error}): see to it that no second run writes there"


def _has_ended(pid: int) -> bool:
    """Whether a process of this machine is gone; where that cannot be asked, it is taken to be there."""
    if sys.platform == "win32" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False

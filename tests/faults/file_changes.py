"""Changes of files by this process: counted, and interrupted by SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import serialize_file

_PATHS = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.chmod": ((0, 2),),
    "os.truncate": ((0, None),),
}
"""Audit events of Python: the arguments with a path, each with that of its directory descriptor."""
_EXCHANGE = ("renameat2", "renameatx_np")
"""C functions that exchange two paths; the audit event of their look-up precedes each call, and has no paths."""


@dataclass(frozen=True)
class Change:
    """A change of a file: its kind, the path relative to the directory, and whether it writes content."""

    kind: str
    path: str
    writes: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


class FileChanges:
    """Count the changes below a directory, and kill this process before one of them.

    The hooks cannot be removed: create it in a forked process.

    Args:
        directory: directory whose files are watched.
        kill_at: number of the change before which the process is killed, from 1; 0: never.
        halve: whether the content that the previous change wrote is cut to its first half, as if the process had been
            killed while writing it.
    """

    def __init__(self, directory: Path, *, kill_at: int = 0, halve: bool = False) -> None:
        self.changes: list[Change] = []
        self.active = True
        self._directory, self._kill_at, self._halve = directory.resolve(), kill_at, halve
        self._written: tuple[Path, int] | None = None
        sys.addaudithook(self._watch)
        os.fsync = self._watched(os.fsync, "fsync", lambda handle: Path(f"/proc/self/fd/{handle}"))
        # It writes in Rust, which raises no audit event.
        watched = self._watched(serialize_file, "open", lambda _, path, *__: Path(path))
        safetensors.torch.serialize_file = watched  # type: ignore[attr-defined]

    def _watched(self, function: Callable[..., Any], kind: str, path: Callable[..., Path]) -> Callable[..., Any]:
        """Return a function that counts each call as a change."""

        @wraps(function)
        def watched(*arguments: Any, **options: Any) -> Any:
            self._add(kind, path(*arguments).resolve(), written_from=0 if kind == "open" else None)
            return function(*arguments, **options)

        return watched

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & (os.O_WRONLY | os.O_RDWR):
                path = Path.cwd() / os.fsdecode(path)
                kept = path.stat().st_size if path.exists() and not flags & os.O_TRUNC else 0
                self._add("open", path, written_from=kept)
        elif event == "ctypes.dlsym" and arguments[-1] in _EXCHANGE:
            self._add("exchange", self._directory)
        elif event in _PATHS:
            kind = event.removeprefix("os.")
            for path in _absolute_paths(event, arguments):
                if path.is_relative_to(self._directory):
                    if os.path.lexists(path) is not (kind == "mkdir"):  # otherwise the call fails
                        self._add(kind, path)
                    return

    def _add(self, kind: str, path: Path, *, written_from: int | None = None) -> None:
        """Count a change; `written_from` is the size of the content that a write keeps."""
        if not self.active or not path.is_relative_to(self._directory):
            return
        self.changes.append(Change(kind, str(path.relative_to(self._directory)), written_from is not None))
        if len(self.changes) == self._kill_at:
            self.active = False
            if self._halve and self._written is not None:
                written, kept = self._written
                os.truncate(written, (kept + written.stat().st_size) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self._written = None if written_from is None else (path, written_from)


def kill_points(changes: list[Change]) -> Iterator[tuple[str, int, bool]]:
    """Yield name, `kill_at` and `halve` for a kill before each change and while each file is written."""
    for number, change in enumerate(changes, start=1):
        if number > 1 and changes[number - 2].writes:
            yield f"while writing {changes[number - 2].path}", number, True
        yield f"before change {number}, {change}", number, False


def write_changes(path: Path, changes: list[Change]) -> None:
    """Write changes as JSON, for the parent process."""
    path.write_text(json.dumps([asdict(change) for change in changes]), encoding="utf-8")


def read_changes(path: Path) -> list[Change]:
    """Return the changes that `write_changes` wrote."""
    return [Change(**change) for change in json.loads(path.read_text(encoding="utf-8"))]


def _absolute_paths(event: str, arguments: tuple[Any, ...]) -> Iterator[Path]:
    """Yield the paths of an audit event; `shutil.rmtree` removes files relative to a directory descriptor."""
    for index, descriptor in _PATHS[event]:
        path, directory = arguments[index], -1 if descriptor is None else arguments[descriptor]
        if isinstance(path, str | bytes | os.PathLike):
            parent = Path.cwd() if directory == -1 else Path(f"/proc/self/fd/{directory}").resolve()
            yield parent / os.fsdecode(path)

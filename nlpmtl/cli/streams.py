"""Standard streams that cannot be written, because their reader or the parent process closed them, or the disk is full.

A command that does work (`train`, `compare`, `relate`, …) continues without output. A command that only prints results
(`predict`, `show`, `check`, `evaluate`) exits with 0.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


class _Steady(io.RawIOBase):
    """A raw stream that discards its output from the first failed write on.

    Args:
        inner: the raw stream to write to.

    Attributes:
        exit_on_failure: whether the failed write ends the process, with exit code 0.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.exit_on_failure = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._inner.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._inner.isatty())

    def write(self, data: Any) -> int:
        try:
            while (written := self._inner.write(data)) is None:  # it is non-blocking, and its reader is slow
                select.select([], [self.fileno()], [])
        except OSError as error:
            _open_null(self.fileno())
            if self.exit_on_failure:
                if error.errno != errno.EPIPE:  # after a closed pipe nobody needs a message
                    sys.stderr.write(f"stdout cannot be written: {error.strerror}\n")
                raise SystemExit(0) from None
            return len(data)
        return int(written)


@contextmanager
def steady_streams() -> Iterator[None]:
    """Make writes to the standard streams inside the block never fail: output is discarded instead."""
    for number in _NUMBERS.values():
        try:
            os.fstat(number)
        except OSError:  # otherwise the next opened file gets this file descriptor, and output is written into it
            _open_null(number)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_steady(name, stream) for name, stream in zip(("stdout", "stderr"), before, strict=True))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(SystemExit, ValueError):  # the exit code is already decided, and a stream may be closed
                stream.flush()
        sys.stdout, sys.stderr = before


def exit_on_closed_stdout() -> None:
    """End the process quietly, with exit code 0, as soon as stdout cannot be written."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Steady):
        raw.exit_on_failure = True


def _steady(name: str, stream: Any) -> Any:
    """Wrap a stream so that writing never fails, unless it was replaced, as in tests and notebooks."""
    if stream is None:
        return open(_NUMBERS[name], "w", encoding="utf-8", closefd=False)
    if stream is not getattr(sys, f"__{name}__") or not hasattr(stream, "buffer"):
        return stream
    stream.flush()
    raw = getattr(stream.buffer, "raw", stream.buffer)  # unbuffered: the stream is raw itself
    return io.TextIOWrapper(
        io.BufferedWriter(_Steady(raw)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)

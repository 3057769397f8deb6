"""Standard streams that nobody reads: closed by their reader, closed from the start, or a file on a full disk.

A command that works (`train`, `compare`, `relate`, …) goes on without them; one that prints results (`predict`, `show`,
`check`, `evaluate`) has nothing left to do, and ends with 0.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


class _Steady(io.RawIOBase):
    """A raw stream that writes to nowhere once it cannot be written to any more.

    Args:
        inner: the raw stream.

    Attributes:
        ends: whether the process then ends, with 0.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.ends = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._inner.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._inner.isatty())

    def write(self, data: Any) -> int | None:
        try:
            written: int | None = self._inner.write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            _open_nowhere(self.fileno())
            if self.ends:
                if error.errno != errno.EPIPE:  # a reader that has read enough needs no message
                    sys.stderr.write(f"stdout cannot be written: {error.strerror}\n")
                raise SystemExit(0) from None
            return len(data)
        return written


@contextmanager
def steady_streams() -> Iterator[None]:
    """Have standard streams that can always be written to while the block runs."""
    for number in _NUMBERS.values():
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would get its number, and what is printed would go into it
            _open_nowhere(number)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_steady(name, stream) for name, stream in zip(("stdout", "stderr"), before, strict=True))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(SystemExit, ValueError):  # the exit code is known; a stream may be closed
                stream.flush()
        sys.stdout, sys.stderr = before


def end_without_reader() -> None:
    """From here on the process ends quietly, with 0, when stdout cannot be written to."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Steady):
        raw.ends = True


def _steady(name: str, stream: Any) -> Any:
    """A stream that never fails; one that is not the process's own, as in tests and notebooks, stays as it is."""
    if stream is None:
        return open(_NUMBERS[name], "w", encoding="utf-8", closefd=False)
    if stream is not getattr(sys, f"__{name}__") or not hasattr(stream, "buffer"):
        return stream
    stream.flush()
    raw = getattr(stream.buffer, "raw", stream.buffer)  # unbuffered, it is the raw one itself
    return io.TextIOWrapper(
        io.BufferedWriter(_Steady(raw)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)

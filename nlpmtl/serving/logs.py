"""Rate-limited logging, so that clients of the server cannot fill the disk with log messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from nlpmtl.errors import escape_control_characters

_LOGGERS = ("asyncio", "nlpmtl", "uvicorn.error")


class RateLimitedHandler(logging.StreamHandler[TextIO]):
    """A log handler that limits how many records each logging call in the source code writes in a period.

    Records above the limit are omitted. After the period, the next record of the same logging call is preceded by the
    number of omitted records.

    Args:
        records: maximum number of records per logging call and period.
        seconds: length of a period, which starts with the first record of the call.
        stream: output stream; default: stderr.
    """

    def __init__(self, *, records: int = 5, seconds: float = 60.0, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._max_records, self._seconds = records, seconds
        self._periods: dict[tuple[str, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or only count it if its logging call has reached the limit."""
        call_site, now = (record.pathname, record.lineno), time.monotonic()
        start, count = self._periods.get(call_site, (now, 0))
        if now - start >= self._seconds:
            if count > self._max_records:
                self._write_note(f"({count - self._max_records} similar messages were omitted)")
            start, count = now, 0
        self._periods[call_site] = start, count + 1
        if count < self._max_records:
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the message with control characters escaped."""
        return escape_control_characters(super().format(record))

    def _write_note(self, text: str) -> None:
        super().emit(logging.LogRecord("nlpmtl", logging.INFO, "", 0, text, None, None))


@contextmanager
def rate_limited_logging() -> Iterator[None]:
    """Write the log records of nlpmtl, uvicorn and asyncio with a `RateLimitedHandler` within the block."""
    handler = RateLimitedHandler()
    before = {name: logging.getLogger(name).propagate for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).propagate = False
    try:
        yield
    finally:
        for name, propagate in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).propagate = propagate

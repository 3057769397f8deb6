"""Signals that ask a run to stop: the first is kept until the step at hand is done, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM)
_ECHO = 1.0
"""Seconds in which a signal is received as one with the first: a terminal and a launcher may both pass it on."""


class Signals:
    """What this process was asked by a signal.

    Attributes:
        received: the number of the first signal; 0 where there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._at = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Hear SIGINT and SIGTERM while the block runs, if this is the main thread: others get none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in _ASKING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received and now - self._at > _ECHO:
            os._exit(128 + number)
        if not self.received:
            self.received, self._at = number, now

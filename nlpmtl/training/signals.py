"""SIGINT and SIGTERM stop a run: the first signal after the current step, the second at once.

At once means that the process exits; in a notebook, `KeyboardInterrupt` is raised instead, and the kernel continues.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nlpmtl.notebook import in_kernel

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DUPLICATE_SECONDS = 1.0
"""Signals within this time of the first count as the same: a terminal and a launcher may both forward it."""


class StopSignals:
    """Signals that this process received.

    Args:
        on_first: called with the number of the first signal, in the signal handler: it must neither block nor raise.

    Attributes:
        received: number of the first signal; 0 for none.
    """

    def __init__(self, on_first: Callable[[int], None] | None = None) -> None:
        self._on_first = on_first
        self.received = 0
        self._time = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the block, in the main thread; other threads receive no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received and now - self._time > _DUPLICATE_SECONDS:
            if in_kernel():
                raise KeyboardInterrupt
            os._exit(128 + number)
        if not self.received:
            self.received, self._time = number, now
            if self._on_first is not None:
                self._on_first(number)

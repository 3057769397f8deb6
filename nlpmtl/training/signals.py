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
from typing import Any

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
        """Receive SIGINT and SIGTERM inside the block, if it starts in the main thread; others receive no signals.

        The blocks of several runs may overlap: each of them receives the signals. The last one that ends restores the
        handlers, or, if it ends in another thread, the next signal does.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in _SIGNALS:
            if signal.getsignal(number) is not _dispatch:
                _PREVIOUS[number] = signal.signal(number, _dispatch)
        _RECEIVERS.append(self)
        try:
            yield
        finally:
            _RECEIVERS.remove(self)
            if not _RECEIVERS and threading.current_thread() is threading.main_thread():
                _restore_handlers()

    def receive(self, number: int) -> None:
        """Record the first signal; the second ends the process."""
        now = time.monotonic()
        if self.received and now - self._time > _DUPLICATE_SECONDS:
            if in_kernel():
                raise KeyboardInterrupt
            os._exit(128 + number)
        if not self.received:
            self.received, self._time = number, now
            if self._on_first is not None:
                self._on_first(number)


_RECEIVERS: list[StopSignals] = []
"""Runs that receive signals."""
_PREVIOUS: dict[int, Any] = {}
"""Signal → handler before the first of these runs; empty without runs."""


def _dispatch(number: int, frame: FrameType | None) -> None:
    """Handle a signal: pass it to the runs, or, if they have ended in other threads, to the earlier handler."""
    for receiver in _RECEIVERS:
        receiver.receive(number)
    if not _RECEIVERS:
        _restore_handlers()
        signal.raise_signal(number)


def _restore_handlers() -> None:
    for number, handler in _PREVIOUS.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    _PREVIOUS.clear()

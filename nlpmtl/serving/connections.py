"""Connection limits and time-outs, which uvicorn does not have.

uvicorn only closes idle keep-alive connections: a client that sends half a header or half a body keeps its connection,
and a process that runs out of file descriptors can accept no other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Literal, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nlpmtl.serving.limits import Limits
from nlpmtl.strict_json import dumps

Phase = Literal["header", "body", "compute", "discard", "idle"]
"""State of a connection, which waits for the rest of a header or body, for the response, for the end of a body that is
not read because the response was sent already, or for the next request."""
_DISCARD_SECONDS = 2.0
"""Closing at once could reset the connection before the client has read the response."""
_GRACE_SECONDS = 2.0
"""Delay after which the connection is closed if the application's own 408 response to a late body fails."""
_SPARE_FILES = 64
"""File descriptors reserved for everything but connections: files of the model, pipes, libraries."""


class LimitedConfig(uvicorn.Config):
    """Configuration of uvicorn with limits of connections.

    Args:
        app: the application.
        limits: limits of connections and time-outs.
        options: options of uvicorn.
    """

    def __init__(self, app: Callable[..., object], *, limits: Limits, **options: Any) -> None:
        super().__init__(app, http=LimitedProtocol, timeout_keep_alive=cast(int, limits.idle_seconds), **options)
        self.limits = limits


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 whose requests must arrive in time, on a limited number of connections.

    A new connection above the limit replaces the one that has waited longest for its client, so that clients that
    only hold connections do not block those that send requests. Connections whose request is computed are kept, unless
    the client sends further requests or does not read earlier responses meanwhile.
    """

    config: LimitedConfig

    def __init__(self, config: LimitedConfig, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self._limits = config.limits
        self._phase: tuple[Phase, object] = ("idle", None)
        self._since = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._close_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first header, and close another connection if there are too many."""
        super().connection_made(transport)
        self._enter("header", None)
        alive = [other for other in self._others() if not other.transport.is_closing()]
        if len(alive) >= self._limits.connections:
            waiting = [other for other in alive if not other._is_computing()]
            min(waiting, key=lambda other: other._since, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read data, and start or stop the timer."""
        super().data_received(data)
        self._update()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        for timer in (self._deadline, self._write_deadline, self._close_deadline):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Start the timer of a client that reads its response too slowly."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer: the client has read nearly all of the response."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if the client does not read its last response."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def _is_computing(self) -> bool:
        """Return whether the connection waits for the server only, not for its client."""
        return self._phase[0] == "compute" and not self.flow.write_paused and not self.conn.trailing_data[0]

    def _others(self) -> list[LimitedProtocol]:
        return [other for other in self.connections if isinstance(other, LimitedProtocol) and other is not self]

    def _update(self) -> None:
        """Determine the phase of the connection; the timer continues if the phase is unchanged."""
        if self.transport.is_closing():
            self._abort_later()
        elif self.cycle is None:
            self._enter("header", None)
        elif not self.cycle.response_complete:
            self._enter("body" if self.cycle.more_body else "compute", self.cycle)
        elif self.conn.their_state is h11.SEND_BODY:
            self._enter("discard", self.cycle)
        else:
            self._enter("header" if self.conn.trailing_data[0] else "idle", self.cycle)

    def _enter(self, phase: Phase, request: object) -> None:
        if self._phase[0] == phase and self._phase[1] is request and self._deadline is not None:
            return
        self._phase, self._since = (phase, request), self.loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = {
            "header": self._limits.header_seconds,
            "body": self._limits.body_seconds + _GRACE_SECONDS,
            "discard": _DISCARD_SECONDS,
            "idle": self._limits.idle_seconds,
        }.get(phase)
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        if self._phase[0] == "header" and self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            error = f"the request's header was not complete within {self._limits.header_seconds:g} seconds"
            self._send(408, {"error": error, "error_type": "Validation"})
        self.transport.close()
        self._abort_later()

    def _send(self, status: int, content: dict[str, str]) -> None:
        body = dumps(content).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _abort_later(self) -> None:
        """Abort a closed transport whose client does not read the rest in time."""
        if self._close_deadline is None and self.transport.get_write_buffer_size():
            self._close_deadline = self.loop.call_later(self._limits.write_seconds, self.transport.abort)


def fit_to_files(connections: int, *, backlog: int) -> tuple[int, int]:
    """Return the numbers of open connections and of waiting ones for which there are enough file descriptors.

    The soft limit of the process is raised as far as the hard limit allows. All waiting connections are accepted in
    one iteration of the event loop, before any above the limit is closed, so twice the backlog is reserved.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections, backlog
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _open_files() + _SPARE_FILES
    required = used + connections + 2 * backlog
    if soft != resource.RLIM_INFINITY and soft < required:
        soft = required if hard == resource.RLIM_INFINITY else min(required, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return divide(soft - used, connections, backlog) if soft != resource.RLIM_INFINITY else (connections, backlog)


def divide(files: int, connections: int, backlog: int) -> tuple[int, int]:
    """Divide a number of free file descriptors between open connections and the backlog."""
    if files >= connections + 2 * backlog:
        return connections, backlog
    backlog = max(min(backlog, files // 4), 1)
    return max(min(connections, files - 2 * backlog), 1), backlog


def _open_files() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(directory))  # noqa: PTH208
        except OSError:
            continue
    return _SPARE_FILES

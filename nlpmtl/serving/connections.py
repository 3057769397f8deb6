"""Connection limits and time-outs, which uvicorn does not have.

uvicorn closes idle keep-alive connections, and nothing else: a client that sends half a header, or half a body, keeps
its connection, and a process that runs out of file descriptors answers nobody.
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
"""What a connection waits for: the rest of a request's header or body, the response, the end of a body that was not
read because its request is already answered, or the next request."""
_DISCARD_SECONDS = 2.0
"""To close at once could reset the connection before the client has read the response."""
_GRACE_SECONDS = 2.0
"""How much later than the application, which answers a late body with 408, the connection itself is closed."""
_SPARE_FILES = 64
"""File descriptors that are left for everything but connections: files of the model, pipes, libraries."""


class Config(uvicorn.Config):
    """uvicorn's configuration, and the limits of connections.

    Args:
        app: the application.
        limits: connections and time-outs.
        options: uvicorn's.
    """

    def __init__(self, app: Callable[..., object], *, limits: Limits, **options: Any) -> None:
        super().__init__(app, http=LimitedProtocol, timeout_keep_alive=cast(int, limits.idle_seconds), **options)
        self.limits = limits


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 whose requests must arrive in time, on a limited number of connections.

    A new connection above the limit replaces the one that has waited longest for its client, so that clients that
    only hold connections do not keep out those that send requests. Connections whose request is being computed stay.
    """

    config: Config

    def __init__(self, config: Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self._limits = config.limits
        self._phase: tuple[Phase, object] = ("idle", None)
        self._since = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._close_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first header, and close another connection where there are too many."""
        super().connection_made(transport)
        self._enter("header", None)
        alive = [one for one in self._others() if not one.transport.is_closing()]
        if len(alive) >= self._limits.connections:
            waiting = [one for one in alive if one._phase[0] != "compute"]
            min(waiting, key=lambda one: one._since, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read, and start or stop the clock."""
        super().data_received(data)
        self._update()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        super().connection_lost(exc)
        for timer in (self._deadline, self._write_deadline, self._close_deadline):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client does not read its response as fast as it is written: give it so many seconds."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read nearly all of it."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even where the client does not read its last response."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def _others(self) -> list[LimitedProtocol]:
        return [one for one in self.connections if isinstance(one, LimitedProtocol) and one is not self]

    def _update(self) -> None:
        """Find what the connection waits for now; the clock goes on where that is the same as before."""
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
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._phase[0] == "header" and self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            said = f"the request's header was not complete within {self._limits.header_seconds:g} seconds"
            self._send(408, {"error": said, "error_type": "Validation"})
        self.transport.close()
        self._abort_later()

    def _send(self, status: int, content: dict[str, str]) -> None:
        body = dumps(content).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _abort_later(self) -> None:
        """A transport that is closed still waits until its client has read everything."""
        if self._close_deadline is None and self.transport.get_write_buffer_size():
            self._close_deadline = self.loop.call_later(self._limits.write_seconds, self.transport.abort)


def fit_to_files(connections: int, *, backlog: int) -> tuple[int, int]:
    """Return how many connections, and how many that wait to be accepted, the file descriptors are enough for.

    The process's soft limit is raised where the hard limit allows it. What waits is accepted in one turn of the event
    loop, before any connection above the limit is closed, so twice the backlog is left free.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections, backlog
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = _open_files() + _SPARE_FILES
    wanted = taken + connections + 2 * backlog
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return divide(soft - taken, connections, backlog) if soft != resource.RLIM_INFINITY else (connections, backlog)


def divide(files: int, connections: int, backlog: int) -> tuple[int, int]:
    """Return the connections, and those that wait to be accepted, that so many free file descriptors are enough for."""
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

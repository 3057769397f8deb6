"""Limits of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Args:
        batch: maximum number of inputs that are computed together.
        queue: maximum number of requests that wait to be computed.
        inputs: maximum number of inputs in one request.
        bytes: maximum size of a request's body.
        connections: maximum number of open connections.
        header_seconds: time in which a request's header must arrive.
        body_seconds: time in which a request's body must arrive.
        idle_seconds: time after which a connection without a request is closed.
        write_seconds: time in which a client must read a response.
    """

    batch: int = 64
    queue: int = 256
    inputs: int = 128
    bytes: int = 250_000
    connections: int = 1000
    header_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 5
    write_seconds: float = 30

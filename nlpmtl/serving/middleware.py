"""Middleware: request metrics, and limits of the size and duration of a request body."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlpmtl.serving.metrics import Metrics


class RequestMiddleware:
    """Count and time the requests of an application, and limit their bodies.

    Args:
        app: the application.
        metrics: the metrics to update.
        max_bytes: maximum size of a body.
        seconds: time in which a body must arrive.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_bytes: int, seconds: float) -> None:
        self._app, self._metrics, self._max_bytes, self._seconds = app, metrics, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, self._limited(receive, Headers(scope=scope)), send_observed)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def _limited(self, receive: Receive, headers: Headers) -> Receive:
        """Return a `receive` that counts the body as it arrives: Content-Length may be missing or wrong."""
        content_length = headers.get("content-length", "")
        end = asyncio.get_running_loop().time() + self._seconds
        size, complete = 0, False

        async def receive_limited() -> Message:
            nonlocal size, complete
            if content_length.isdecimal() and int(content_length[:20]) > self._max_bytes:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(None if complete else end):
                    message = await receive()
            except TimeoutError:
                raise self._too_late() from None
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise self._too_large()
            return message

        return receive_limited

    def _too_late(self) -> HTTPException:
        return HTTPException(408, f"the request's body was not complete within {self._seconds:g} seconds")

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the request body has more than {self._max_bytes} bytes; send fewer inputs at once")

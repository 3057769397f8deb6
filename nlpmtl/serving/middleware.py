"""What every request passes on its way in and out: it is counted and timed, and its body may only be so large."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlpmtl.serving.metrics import Metrics


class RequestMiddleware:
    """An application behind doors.

    Args:
        app: the application.
        metrics: where requests are counted.
        max_bytes: maximum size of a body.
        seconds: time in which a body must arrive.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_bytes: int, seconds: float) -> None:
        self._app, self._metrics, self._max_bytes, self._seconds = app, metrics, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, self._counting(receive, Headers(scope=scope)), watch)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.add(route=route, status=str(status))
            self._metrics.seconds.observe(time.perf_counter() - start, route=route)

    def _counting(self, receive: Receive, headers: Headers) -> Receive:
        """The body, counted while it comes in: what a client says of its length need not be there, or true."""
        said = headers.get("content-length", "")
        end = asyncio.get_running_loop().time() + self._seconds
        read, complete = 0, False

        async def count() -> Message:
            nonlocal read, complete
            if said.isdecimal() and int(said[:20]) > self._max_bytes:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(None if complete else end):
                    message = await receive()
            except TimeoutError:
                raise self._too_late() from None
            complete = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._too_large()
            return message

        return count

    def _too_late(self) -> HTTPException:
        return HTTPException(408, f"the request's body was not complete within {self._seconds:g} seconds")

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the request body exceeds {self._max_bytes} bytes; send fewer inputs at once")

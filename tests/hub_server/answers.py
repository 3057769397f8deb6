"""Requests and responses as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hub_server.faults import MESSAGES


@dataclass(frozen=True)
class Request:
    """A request: what its route found in the path, its query, its headers in lower case, its body."""

    method: str
    found: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        """The token that was sent."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: object, *, status: int = 200, **headers: str) -> Response:
    """A response of JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def refuse(status: int, code: str = "", *, message: str = "", **more: object) -> Response:
    """An error as the Hub tells it."""
    text = message or MESSAGES.get(status, code) or "Something is wrong"
    wait = {"Retry_After": "1"} if status == 429 else {}
    return as_json({"error": text, **more}, status=status, X_Error_Code=code, X_Error_Message=text, **wait)

"""Requests and responses as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hub_server.faults import MESSAGES


@dataclass(frozen=True)
class Request:
    """A request: values from the path of its route, query, lower-case headers, and body."""

    method: str
    path_values: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        """The access token of the request, or None."""
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True)
class Response:
    """A response: status, body and headers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: object, *, status: int = 200, **headers: str) -> Response:
    """Return a JSON response."""
    extra_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(value).encode(), {"Content-Type": "application/json", **extra_headers})


def refuse(status: int, code: str = "", *, message: str = "", **more: object) -> Response:
    """Return an error response in the format of the Hub."""
    text = message or MESSAGES.get(status, code) or "Something is wrong"
    wait = {"Retry_After": "1"} if status == 429 else {}
    return as_json({"error": text, **more}, status=status, X_Error_Code=code, X_Error_Message=text, **wait)

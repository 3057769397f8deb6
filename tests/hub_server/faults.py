"""Faults of a call: an error status, or a connection that fails."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = int | Literal["reset", "slow", "truncated", "wrong", "lost"]
"""An error status, or: the connection is reset before the call ("reset") or after it ("lost"), no response ("slow"),
half a response ("truncated"), or other bytes of the same length ("wrong")."""

MESSAGES = {
    401: "Invalid credentials in Authorization header",
    403: "You don't have the rights to do this",
    404: "Repository not found",
    409: "There is a conflict",
    412: "A commit has happened since",
    429: "Too many requests",
}


@dataclass
class Fault:
    """A fault of a call.

    Args:
        call: name of the call in the routes of the server.
        kind: kind of the fault.
        times: number of calls that fail before one succeeds.
    """

    call: str
    kind: Kind
    times: int
    triggered: threading.Event = field(default_factory=threading.Event)
    """Set when the fault has occurred."""


def take(faults: list[Fault], call: str) -> Fault | None:
    """Return the fault of a call, and count it; None if the call succeeds."""
    for fault in faults:
        if fault.call == call and fault.times > 0:
            fault.times -= 1
            fault.triggered.set()
            return fault
    return None

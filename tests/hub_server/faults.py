"""What can go wrong with a call: a status instead of an answer, or a connection that does not do what it should."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = int | Literal["reset", "slow", "truncated", "wrong", "lost"]
"""A status; the connection torn before anything is done; no answer; half of it; other bytes of the same length; the
connection torn after it is done."""

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
    """A call that goes wrong.

    Args:
        call: its name in the routes of the server.
        kind: how.
        times: how often, before it goes right.
    """

    call: str
    kind: Kind
    times: int
    met: threading.Event = field(default_factory=threading.Event)
    """Set when somebody has run into it."""


def take(faults: list[Fault], call: str) -> Fault | None:
    """The fault that the call runs into now."""
    for fault in faults:
        if fault.call == call and fault.times > 0:
            fault.times -= 1
            fault.met.set()
            return fault
    return None

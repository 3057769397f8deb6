"""A process that pushes and fetches when it is told to: the client as it is, with shorter pauses."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.hub_server.state import WRITER, Hub

_CODE = """
import json, sys
from nlpmtl.hub import repository as hub, retry
from nlpmtl.errors import NlpmtlError

retry.PAUSES, retry.TIMEOUT = (0.2, 0.2), 1.0
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        answer = {"value": str(getattr(hub, name)(**arguments))}
    except NlpmtlError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    assert "torch" not in sys.modules
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True)
class Client:
    """Calls `push` and `fetch` in its process."""

    process: subprocess.Popen[str]
    noted: IO[str]
    """What it wrote to stderr."""

    def __call__(self, call: str, **arguments: Any) -> str:
        """What it answered.

        Raises:
            RuntimeError: with the name and the words of the error that it met.
        """
        self.start(call, **arguments)
        return self.end()

    def start(self, call: str, **arguments: Any) -> None:
        """Make a call, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([call, arguments], default=str) + "\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """What the call that was started answered."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.said()
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return str(answer["value"])

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """What it wrote to stderr so far."""
        self.noted.seek(0)
        return self.noted.read()


@contextmanager
def open_client(hub: Hub, home: Path, *, token: str | None = WRITER, **environment: str) -> Iterator[Client]:
    """A client with a cache of its own."""
    variables = hub.environment(home) | environment | ({"HF_TOKEN": token} if token else {})
    with tempfile.TemporaryFile("w+") as noted:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", _CODE],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noted,
            text=True,
        )
        with process:
            try:
                yield Client(process, noted)
            finally:
                process.kill()

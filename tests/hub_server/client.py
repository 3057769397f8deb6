"""A process with the real client, which pushes and fetches on request; retries are faster."""

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

retry.RETRY_DELAYS, retry.TIMEOUT = (0.2, 0.2), 1.0
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
    stderr: IO[str]
    """File with the stderr of the process."""

    def __call__(self, call: str, **arguments: Any) -> str:
        """Make a call, and return its result.

        Raises:
            RuntimeError: the call failed; with the name and message of the error.
        """
        self.start(call, **arguments)
        return self.end()

    def start(self, call: str, **arguments: Any) -> None:
        """Make a call without waiting for its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([call, arguments], default=str) + "\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Return the result of the call that was started."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.stderr_text()
        result = json.loads(line)
        if "error" in result:
            raise RuntimeError(result["error"])
        return str(result["value"])

    def error(self, call: str, **arguments: Any) -> str:
        """Make a call that must fail, and return the name and message of the error."""
        try:
            result = self(call, **arguments)
        except RuntimeError as error:
            return str(error)
        raise AssertionError(f"{call} succeeded: {result}")

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()

    def stderr_text(self) -> str:
        """Return the stderr of the process so far."""
        self.stderr.seek(0)
        return self.stderr.read()


@contextmanager
def open_client(hub: Hub, home: Path, *, token: str | None = WRITER, **environment: str) -> Iterator[Client]:
    """Yield a client with a separate cache."""
    variables = hub.environment(home) | environment | ({"HF_TOKEN": token} if token else {})
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", _CODE],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        with process:
            try:
                yield Client(process, stderr)
            finally:
                process.kill()

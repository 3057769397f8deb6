"""Start a server process."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Start a server and yield its port, which it prints on stderr; kill it afterwards.

    Args:
        command: the command, with ``--port 0``.
        log: the file that its stderr is written to.
        environment: its environment; default: that of this process.
    """
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as server:
        try:
            while not (address := re.search(r"http://[^:]+:(\d+)", log.read_text(encoding="utf-8"))):
                assert server.poll() is None, log.read_text(encoding="utf-8")
                time.sleep(0.05)
            yield int(address[1])
        finally:
            server.kill()

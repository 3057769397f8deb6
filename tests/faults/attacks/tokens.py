"""Access tokens in the environment never appear in output or files."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.faults.harness import FaultCount, single_thread_environment
from tests.faults.invalid_input import to_toml
from tests.tiny import make_run

SECRETS = {
    "HF_TOKEN": "hf_" + "QxZvKjWpRtYuLmNbGhDs" + "TfEaCiOqSd",
    "HUGGING_FACE_HUB_TOKEN": "hf_" + "MnBvCxZaSdFgHjKlQwEr" + "TyUiOpZxCv",
}
"""Made-up tokens, concatenated so that secret scanners do not report this file."""


class _Denying(BaseHTTPRequestHandler):
    """Refuses every request with 401."""

    authorizations: list[str]

    def _refuse(self) -> None:
        self.authorizations.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = _refuse

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def _denying_hub() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a Hub that refuses every request, and the Authorization headers that it received."""
    authorizations: list[str] = []
    handler = type("Handler", (_Denying,), {"authorizations": authorizations})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", authorizations
        finally:
            server.shutdown()


def tokens(scratch: Path) -> FaultCount:
    """Set tokens in the environment of runs that succeed and that fail, and search their output and files."""
    count = FaultCount("everything that a run with a token in its environment writes: nothing contains the token")
    train = {"steps": 1, "batch_size": 8, "save_every": 1, "precision": "fp32"}
    run = make_run(scratch / "run", rows=12, train=train)
    run["datasets"] = {"pairs": run["datasets"]["pairs"]}
    del run["output"]
    path = scratch / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    bad = ["--set", "encoder.name=me/private"]
    commands = {
        "success": (["train", str(path)], 0),
        "a model without access": (["train", str(path), *bad], 2),
        "a model without access, --debug": (["--debug", "train", str(path), *bad], 2),
    }
    with _denying_hub() as (address, authorizations):
        env = {**single_thread_environment(), **SECRETS, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address}
        started = {}
        for number, (name, (arguments, _)) in enumerate(commands.items()):
            directory = scratch / f"process{number}"
            directory.mkdir()
            places = {
                "HF_HOME": str(directory / "hf"),
                "NLPMTL_CACHE": str(directory / "cache"),
                "TMPDIR": str(directory),
            }
            command = [sys.executable, "-m", "nlpmtl", *arguments, "--output", str(directory / "out")]
            with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
                started[name] = directory, subprocess.Popen(command, stdout=out, stderr=err, env={**env, **places})
        codes = {name: process.wait(timeout=600) for name, (_, process) in started.items()}
    for name, (directory, _) in started.items():
        expected = commands[name][1]
        stderr = (directory / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]
        count.add(f"{name}: exit code", codes[name] == expected, f"{codes[name]}, {stderr}")
        for file in sorted(path for path in directory.rglob("*") if path.is_file()):
            content = file.read_bytes()
            shown = [
                key for key, value in SECRETS.items() if value.encode() in content or value[3:].encode() in content
            ]
            count.add(f"{name}: {file.relative_to(directory)}", not shown, f"contains {', '.join(shown)}")
    used = any(SECRETS["HF_TOKEN"] in authorization for authorization in authorizations)
    count.add("the token is sent to the Hub", used, f"the Hub received {len(authorizations)} requests without it")
    return count

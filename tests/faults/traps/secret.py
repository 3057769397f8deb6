"""A secret in the environment, which nobody may say."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.faults.harness import Count, one_thread
from tests.faults.hostile import to_toml
from tests.tiny import make_run

SECRETS = {
    "HF_TOKEN": "hf_" + "QxZvKjWpRtYuLmNbGhDs" + "TfEaCiOqSd",
    "HUGGING_FACE_HUB_TOKEN": "hf_" + "MnBvCxZaSdFgHjKlQwEr" + "TyUiOpZxCv",
}
"""Made up; put together here, so that no search for tokens takes this file for a leak."""


class _Denying(BaseHTTPRequestHandler):
    """Knows nobody."""

    heard: list[str]

    def _answer(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def _denying_hub() -> Iterator[tuple[str, list[str]]]:
    """A Hub that lets nobody in: its address, and what it was shown."""
    heard: list[str] = []
    handler = type("Handler", (_Denying,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()


def secret(scratch: Path) -> Count:
    """Tokens in the environment of runs that succeed and that fail: nowhere in what they say and write."""
    count = Count("everything that a run with a token in its environment writes: nothing contains the token")
    train = {"steps": 1, "batch_size": 8, "save_every": 1, "precision": "fp32"}
    run = make_run(scratch / "run", rows=12, train=train)
    run["datasets"] = {"pairs": run["datasets"]["pairs"]}
    del run["output"]
    path = scratch / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    bad = ["--set", "encoder.name=me/private"]
    asked = {
        "success": (["train", str(path)], 0),
        "a model that it may not read": (["train", str(path), *bad], 2),
        "a model that it may not read, --debug": (["--debug", "train", str(path), *bad], 2),
    }
    with _denying_hub() as (address, heard):
        env = {**one_thread(), **SECRETS, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address}
        started = {}
        for number, (name, (arguments, _)) in enumerate(asked.items()):
            own = scratch / f"process{number}"
            own.mkdir()
            places = {"HF_HOME": str(own / "hf"), "NLPMTL_CACHE": str(own / "cache"), "TMPDIR": str(own)}
            command = [sys.executable, "-m", "nlpmtl", *arguments, "--output", str(own / "out")]
            with (own / "stdout").open("wb") as out, (own / "stderr").open("wb") as err:
                started[name] = own, subprocess.Popen(command, stdout=out, stderr=err, env={**env, **places})
        codes = {name: process.wait(timeout=600) for name, (_, process) in started.items()}
    for name, (own, _) in started.items():
        expected = asked[name][1]
        told = (own / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]
        count.add(f"{name}: its exit code", codes[name] == expected, f"{codes[name]}, {told}")
        for file in sorted(path for path in own.rglob("*") if path.is_file()):
            content = file.read_bytes()
            shown = [
                key for key, value in SECRETS.items() if value.encode() in content or value[3:].encode() in content
            ]
            count.add(f"{name}: {file.relative_to(own)}", not shown, f"it shows {', '.join(shown)}")
    said = any(SECRETS["HF_TOKEN"] in one for one in heard)
    count.add("the token is one that is used", said, f"the Hub was shown {len(heard)} other tokens or none")
    return count

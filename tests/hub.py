"""A stand-in for the Hub: a real HTTP server on 127.0.0.1 that answers what `datasets` asks of a dataset repository.

The client reads `HF_ENDPOINT` when it is imported, so whoever loads from it does so in a process of its own:

    with serve_hub() as hub:
        hub.repos["org/name"] = {"README.md": b"…", "train.parquet": b"…"}
        subprocess.run([sys.executable, "-c", code], env=hub.environment(home))
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40
"""The one commit of every repository; `main` is its branch."""

_API = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)(?:/(?P<verb>revision|tree)/(?P<rev>[^/]+)/?(?P<path>.*))?")
_FILE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")


@dataclass
class Hub:
    """What the server has, and what it was asked."""

    url: str
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Repository id = path of a file = its bytes."""
    gated: set[str] = field(default_factory=set)
    """Repositories that nobody here may read."""
    asked: list[str] = field(default_factory=list)
    """Every request so far: method and path."""

    def environment(self, home: Path) -> dict[str, str]:
        """The variables of a process that uses this Hub, with a cache of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return {**kept, "HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """An empty Hub, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        return hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing: the tests read `asked`."""

    def _answer(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        found = _API.fullmatch(path) or _FILE.fullmatch(path)
        if found is None:
            return self._fail(404, "")
        repo, rev = found["repo"], found["rev"] or "main"
        if repo not in self.hub.repos:
            return self._fail(404, "RepoNotFound")
        if rev not in ("main", COMMIT):
            return self._fail(404, "RevisionNotFound")
        files = self.hub.repos[repo]
        if found.re is _FILE:
            if repo in self.hub.gated:
                return self._fail(401, "GatedRepo")
            return self._send_file(files.get(found["path"]))
        if found["verb"] == "tree":
            return self._send_json(_tree(files, found["path"]))
        siblings = [{"rfilename": name} for name in files]
        return self._send_json({"id": repo, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})

    def _send_file(self, content: bytes | None) -> None:
        if content is None:
            return self._fail(404, "EntryNotFound")
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        return self._send(content, kind="application/octet-stream")

    def _send_json(self, value: object) -> None:
        self.send_response(200)
        self._send(json.dumps(value).encode(), kind="application/json")

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self._send(b"{}", kind="application/json")

    def _send(self, body: bytes, *, kind: str) -> None:
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _file_info(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _folder_info(name: str) -> dict[str, object]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}


def _folders(files: dict[str, bytes]) -> set[str]:
    return {str(parent) for name in files for parent in Path(name).parents} - {"."}


def _tree(files: dict[str, bytes], folder: str) -> list[dict[str, object]]:
    names = [name for name in files if Path(name).parent == Path(folder)]
    folders = [name for name in sorted(_folders(files)) if Path(name).parent == Path(folder)]
    return [_folder_info(name) for name in folders] + [_file_info(name, files[name]) for name in names]

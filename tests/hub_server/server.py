"""HTTP servers of the Hub: routing of requests, and connections that fail on purpose."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.hub_server import dataset_routes, model_routes
from tests.hub_server.faults import Fault, take
from tests.hub_server.messages import Request, Response, refuse
from tests.hub_server.state import Hub

Answer = Callable[[Hub, Request], Response]

_REPO, _REV = r"(?P<repo>[^/]+/[^/]+)", r"(?P<rev>[^/]+)"
_ROUTES: tuple[tuple[str, str, str, Answer], ...] = (
    ("whoami", "GET", r"/api/whoami-v2", model_routes.whoami),
    ("create", "POST", r"/api/repos/create", model_routes.create),
    ("validate", "POST", r"/api/validate-yaml", model_routes.validate),
    ("preupload", "POST", rf"/api/models/{_REPO}/preupload/{_REV}", model_routes.preupload),
    ("batch", "POST", rf"/{_REPO}\.git/info/lfs/objects/batch", model_routes.batch),
    ("put", "PUT", r"/large/(?P<oid>\w+)", model_routes.put),
    ("commit", "POST", rf"/api/models/{_REPO}/commit/{_REV}", model_routes.commit),
    ("branch", "POST", rf"/api/models/{_REPO}/branch/{_REV}", model_routes.branch),
    ("info", "GET", rf"/api/models/{_REPO}(?:/revision/{_REV})?", model_routes.info),
    ("tree", "GET", rf"/api/models/{_REPO}/tree/{_REV}", model_routes.tree),
    (
        "dataset",
        "GET",
        rf"/api/datasets/{_REPO}(?:/(?P<verb>revision|tree)/{_REV}/?(?P<path>.*))?",
        dataset_routes.info,
    ),
    ("dataset-head", "HEAD", rf"/datasets/{_REPO}/resolve/{_REV}/(?P<path>.+)", dataset_routes.file),
    ("dataset-file", "GET", rf"/datasets/{_REPO}/resolve/{_REV}/(?P<path>.+)", dataset_routes.file),
    ("large", "GET", r"/large/(?P<oid>\w+)", model_routes.large),
    ("head", "HEAD", rf"/{_REPO}/resolve/{_REV}/(?P<path>.+)", model_routes.file),
    ("file", "GET", rf"/{_REPO}/resolve/{_REV}/(?P<path>.+)", model_routes.file),
)
_STUCK = 30.0
"""Maximum seconds of a slow response."""


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Yield an empty Hub; its servers stop at the end of the block."""
    with ExitStack() as stack:
        servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
        url, storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        hub = Hub(url, storage)
        stack.callback(hub.closing.set)
        for server in servers:
            server.daemon_threads = True
            server.hub = hub  # type: ignore[attr-defined]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        return hub

    def do_HEAD(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def log_message(self, *_: object) -> None:
        """Log nothing: the tests read `Hub.requests`."""

    def handle(self) -> None:
        """Handle requests; ignore clients that have disconnected."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def _respond(self) -> None:
        parts, body = urlsplit(self.path), self._read()
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {self.path}")
            # The raw path: %2F in the name of a branch is not a slash.
            routes = (
                (call, re.fullmatch(path, parts.path), function)
                for call, verb, path, function in _ROUTES
                if verb == self.command
            )
            call, match, respond = next((route for route in routes if route[1]), ("", None, None))
            if match is None or respond is None:
                return self._send(refuse(404))
            groups = {name: unquote(value or "") for name, value in match.groupdict().items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, groups, dict(parse_qsl(parts.query)), headers, body)
            if request.token is not None:
                self.hub.authorized.append((call, request.token))
            fault = take(self.hub.faults, call)
            executed = fault is None or fault.kind in ("truncated", "wrong", "lost")
            response = respond(self.hub, request) if executed else Response()
            if self.hub.rewrite is not None:
                response = self.hub.rewrite(call, response)
        if fault is not None:
            return self._fail(fault, response)
        return self._send(self._part(response, request))

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _part(self, response: Response, request: Request) -> Response:
        """Return the requested byte range of a response, for resumed downloads."""
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if match is None or response.status != 200:
            return response
        start, size = int(match[1]), len(response.body)
        span = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        return Response(206, response.body[start:], {**response.headers, **span})

    def _fail(self, fault: Fault, response: Response) -> None:
        if isinstance(fault.kind, int):
            return self._send(refuse(fault.kind, "RepoNotFound" if fault.kind == 404 else ""))
        if fault.kind == "wrong":
            body = bytes(byte ^ 1 for byte in response.body)
            return self._send(Response(response.status, body, response.headers))
        if fault.kind == "truncated":
            self._send(response, half=True)
        if fault.kind == "slow":
            self.hub.closing.wait(_STUCK)
        self.close_connection = True
        if fault.kind in ("reset", "lost"):
            # Close with a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return None

    def _send(self, response: Response, *, half: bool = False) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[: len(response.body) // 2] if half else response.body)

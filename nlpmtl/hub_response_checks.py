"""Validation of responses of the Hub or a mirror, before its client uses them as file names.

`huggingface_hub` uses commit ids, digests and file names of responses as parts of paths in its cache, so that an `ETag`
of ``../../x`` would make it write outside. Commit ids must be 40 hex digits, digests those of SHA-1 or SHA-256, and
file names must stay inside their repository. Redirects and next pages must be addresses whose responses are checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import httpx2
from huggingface_hub import constants, get_session
from huggingface_hub.utils import _http

from nlpmtl.errors import escape_control_characters, quote

_COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_ETAG = re.compile(r'(?:W/)?"?([^"]*)"?')
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that end lines, control terminals or turn the direction of text."""
_COMMIT_HEADER, _LINKED_ETAG = "X-Repo-Commit", "X-Linked-ETag"
_DIGEST_KEYS = ("sha256", "oid", "blobId", "blob_id", "xetHash")
_NAME_KEYS = ("path", "rfilename")
_FILES_AFTER_API = ("resolve-cache", "resolve")
"""Path segments after ``/api/`` of addresses of files; `resolve` follows the name of a repository, here ``api``."""
_MAX_LENGTH = 80


class UntrustedResponseError(ValueError):
    """A response holds an invalid commit id, digest or file name."""


_hooks: dict[str, list[Callable[[Any], None]]] = {"request": [], "response": []}
"""Hooks that are called for each request and each response, in all threads."""


@contextmanager
def validated_responses() -> Iterator[None]:
    """Check every response to the client of the Hub within the block.

    Raises:
        UntrustedResponseError: a response is not valid. Nothing was written.
    """
    with http_hook("response", _check):
        yield


@contextmanager
def http_hook(event: Literal["request", "response"], hook: Callable[[Any], None]) -> Iterator[None]:
    """Call a hook for every request or response of the client of the Hub within the block.

    `huggingface_hub` replaces its client when a connection fails, which a mirror can provoke: the new client calls the
    hook, too.
    """
    factory = _http._GLOBAL_CLIENT_FACTORY
    if not isinstance(factory, _Factory):
        _http._GLOBAL_CLIENT_FACTORY = _Factory(factory)
    _connect(get_session())
    _hooks[event].append(hook)
    try:
        yield
    finally:
        _hooks[event].remove(hook)


@dataclass(frozen=True)
class _Factory:
    """A client factory that adds the hooks.

    Args:
        original: factory of clients without them.
    """

    original: Callable[[], httpx2.Client]

    def __call__(self) -> httpx2.Client:
        return _connect(self.original())


def _connect(client: httpx2.Client) -> httpx2.Client:
    for event, call in (("request", _on_request), ("response", _on_response)):
        if call not in client.event_hooks[event]:
            client.event_hooks[event].append(call)
    return client


def _on_request(request: httpx2.Request) -> None:
    for hook in tuple(_hooks["request"]):  # another thread may remove its hook
        hook(request)


def _on_response(response: httpx2.Response) -> None:
    for hook in tuple(_hooks["response"]):
        hook(response)


def check_inside_cache(directory: Path) -> None:
    """Raise UntrustedResponseError if a file of a snapshot is a link to somewhere outside of the cache."""
    cache = Path(constants.HF_HUB_CACHE).resolve()
    for path in (directory, *directory.rglob("*")):
        if not path.resolve().is_relative_to(cache):
            raise UntrustedResponseError(f"{path} in the cache is a link to {path.resolve()}, outside of it. Remove it")


def is_commit(value: object) -> bool:
    """Return whether a value is a commit id."""
    return isinstance(value, str) and _COMMIT.fullmatch(value) is not None


def _check(response: httpx2.Response) -> None:
    if constants.HF_HUB_CACHE.startswith("~"):  # it would become a directory named "~"
        raise UntrustedResponseError("this user has no home directory for downloads; set HOME or HF_HOME")
    url, headers = response.request.url, response.headers
    commit = headers.get(_COMMIT_HEADER)
    if commit is not None and not is_commit(commit):
        raise _refuse(url, f"the commit id {quote(commit, limit=_MAX_LENGTH)}, which is not 40 hex digits")
    if response.request.method == "HEAD" and response.status_code < 400:
        for name in (_LINKED_ETAG, "ETag"):
            if name in headers:
                _check_digest(url, name, headers[name])
                break
    if _returns_json(url):
        _check_next_request(response)
        response.read()
        try:
            content = json.loads(response.content)
        except (ValueError, RecursionError):
            return  # the client reports it
        _check_content(url, content)


def _returns_json(url: httpx2.URL) -> bool:
    """Return whether an address is one of the Hub's API that returns JSON, not a file.

    Files are at ``/OWNER/NAME/resolve/REVISION/FILE``, ``/datasets/…`` and ``/api/resolve-cache/…``.
    """
    endpoint = httpx2.URL(constants.ENDPOINT).path.rstrip("/")  # a mirror may have a path
    before, api, rest = url.path.removeprefix(endpoint).partition("/api/")
    return bool(api) and "resolve" not in before.split("/") and rest.split("/")[0] not in _FILES_AFTER_API


def _check_next_request(response: httpx2.Response) -> None:
    """Check that the client requests JSON after a response with JSON: its redirect, and the next page of a list.

    Otherwise the client would use JSON from an address whose responses are not checked.
    """
    url = response.request.url
    targets = [response.links.get("next", {}).get("url")]
    targets += [response.headers["Location"]] if response.has_redirect_location else []
    for target in targets:
        try:
            is_checked = target is None or _returns_json(url.join(target))
        except httpx2.InvalidURL:
            continue  # the client reports it
        if not is_checked:
            address = quote(target, limit=_MAX_LENGTH)
            raise _refuse(url, f"the next address {address}, which is not one of the Hub's API")


def _check_digest(url: httpx2.URL, name: str, value: object) -> None:
    match = _ETAG.fullmatch(value) if isinstance(value, str) else None
    if match is None or not _DIGEST.fullmatch(match[1]):
        raise _refuse(url, f"the {name} {quote(value, limit=_MAX_LENGTH)}, which is not the SHA-1 or SHA-256 of a file")


def _check_content(url: httpx2.URL, content: Any) -> None:
    """Check all descriptions of repositories and files in a response."""
    remaining = [content]
    while remaining:
        value = remaining.pop()
        if isinstance(value, list):
            remaining.extend(value)
        elif isinstance(value, dict):
            remaining.extend(value.values())
            if isinstance(value.get("sha"), str) and not is_commit(value["sha"]):
                raise _refuse(
                    url, f"the commit id {quote(value['sha'], limit=_MAX_LENGTH)}, which is not 40 hex digits"
                )
            for key in _DIGEST_KEYS:
                if isinstance(value.get(key), str):
                    _check_digest(url, key, value[key])
            for key in _NAME_KEYS:
                name = value.get(key)
                if isinstance(name, str) and _CONTROL.search(name):  # progress bars print it
                    raise _refuse(url, f"the file name {quote(name, limit=_MAX_LENGTH)}, which has control characters")
                if isinstance(name, str) and not _is_inside(name):
                    raise _refuse(url, f"the file name {quote(name, limit=_MAX_LENGTH)}, which leaves the repository")


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name)


def _refuse(url: httpx2.URL, invalid: str) -> UntrustedResponseError:
    address = escape_control_characters(url.copy_with(query=None))
    return UntrustedResponseError(
        f"{address} returned {invalid}. Nothing was written. If HF_ENDPOINT is set, check its value"
    )

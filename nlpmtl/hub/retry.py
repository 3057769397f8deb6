"""Questions to the Hub: never without an end, asked again where that may help, and failures told in plain words.

The client repeats some calls by itself: the listing of files, what an upload of weights is made of, and most of a
download. Those are asked once here (`again=None`), or with `is_interrupted_download`; all others with `is_transient`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TypeVar

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from nlpmtl.errors import ModelError, NlpmtlError
from nlpmtl.hub.response_checks import http_hook, validated_responses

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as lost; the client itself would wait for ever."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each repetition."""
_LONGEST = 300.0
"""Seconds that the Hub may ask us to wait."""
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_BUSY = (408, 429)
_BROKEN = (500, 502, 503, 504)
_LOST = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class CorruptDownloadError(OSError):
    """A file came that is not the one which the repository has."""


def is_transient(error: Exception) -> bool:
    """Whether a question that failed may be answered a little later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (*_BUSY, *_BROKEN)
    return isinstance(error, _LOST)


def is_interrupted_download(error: Exception) -> bool:
    """The same for a download: of what may pass, only that which the client does not repeat by itself."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _BROKEN
    if isinstance(error, httpx2.ReadError):
        return "/api/" not in error.request.url.path  # a file, not the list of them
    short = type(error) is OSError and error.errno is None  # it counted the bytes
    return short or isinstance(error, CorruptDownloadError)


def call_with_retry(
    call: Callable[[], T], *, failed: str, again: Callable[[Exception], bool] | None = is_transient, hint: str = ""
) -> T:
    """What a call to the Hub answers.

    Args:
        call: the call; it may be made several times.
        failed: how the message begins if it fails, such as ``"the model 'a/b' cannot be loaded"``.
        again: after which errors it is made again; None: after none.
        hint: how the message ends if it failed by what may pass.

    Raises:
        ModelError: it failed: why, and what to do.
    """
    for pause in (*PAUSES, None):
        try:
            with _with_timeout():
                return call()
        except NlpmtlError:
            raise
        except Exception as error:  # of many kinds, which share no base
            wait = None if pause is None else max(pause, _asked_to_wait(error))
            if wait is None or wait > _LONGEST or again is None or not again(error):
                end = hint if is_transient(_root_cause(error)) else ""
                raise ModelError(f"{failed}: {describe_error(error)}{end}") from error
            _logger.warning("%s yet: %s. Again in %g s", failed, describe_error(error).partition(". ")[0], wait)
            time.sleep(wait)
    raise AssertionError("the last round returns or raises")


def describe_error(error: Exception) -> str:
    """Why a call failed, and what to do about it."""
    error = _root_cause(error)
    if isinstance(error, GatedRepoError):
        return f"it is gated. Ask for access on its page, then {_LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision. Give a branch, a tag or a commit that it has"
    if isinstance(error, DisabledRepoError):
        return "the Hub has disabled this repository"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no such repository, or it is private. Check its name; for a private one {_LOG_IN}"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error)
    if isinstance(error, httpx2.TimeoutException):
        return f"{constants.ENDPOINT} does not answer. Try again later"
    if isinstance(error, httpx2.TransportError):
        return f"the connection to {constants.ENDPOINT} fails ({error or type(error).__name__}). Try again later"
    if isinstance(error, OSError | ValueError) and not isinstance(error, JSONDecodeError):
        return str(error)
    return f"its answer cannot be understood ({type(error).__name__}: {error})"


def _root_cause(error: Exception) -> Exception:
    """What is behind an error in which the client says what it was about, and hides why."""
    while isinstance(error, RuntimeError | LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _explain_status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    said = " ".join((error.server_message or error.response.reason_phrase).split()).rstrip(".")
    if status == 401:
        return f"the Hub does not accept the token ({said}). Make another: {_LOG_IN}"
    if status == 403:
        return f"the Hub does not allow it ({said}). It takes a token with that right: {_LOG_IN}"
    if status in (*_BUSY, *_BROKEN):
        return f"the Hub answers {status} ({said}). Try again later"
    return f"the Hub refuses: {status}, {said}"


def _asked_to_wait(error: Exception) -> float:
    """The seconds that the Hub asks us to wait."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    limit = parse_ratelimit_headers(error.response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    said = error.response.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else 0.0


@contextmanager
def _with_timeout() -> Iterator[None]:
    """Within it no request waits for ever, and responses are checked before they are used."""
    with http_hook("request", _limit), validated_responses():
        yield


def _limit(request: httpx2.Request) -> None:
    limits = request.extensions.get("timeout", {})
    given = {kind: limits.get(kind) for kind in ("connect", "read", "write", "pool")}
    request.extensions["timeout"] = {kind: TIMEOUT if one is None else one for kind, one in given.items()}

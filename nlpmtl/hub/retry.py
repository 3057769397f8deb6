"""Requests to the Hub with time-outs, retries and readable errors.

The client, `huggingface_hub`, already retries when it lists files, uploads weights, and in most parts of a download.
Here, uploads are therefore not repeated (`retry_on=None`), and downloads are repeated only after the errors that the
client does not handle (`is_interrupted_download`). By default, a call is repeated after any transient error
(`is_transient`).
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
from nlpmtl.hub_response_checks import http_hook, validated_responses

TIMEOUT = 60.0
"""Time-out of requests for which the client sets none: seconds without data after which a connection is lost."""
RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Minimum waiting time before each retry, in seconds."""
_MAX_WAIT = 300.0
"""Maximum waiting time in seconds. If the Hub requests a longer one, the call fails."""
_LOGIN_ADVICE = "log in with `hf auth login`, or set HF_TOKEN"
_RETRYABLE_STATUS = (408, 429)
_SERVER_ERROR = (500, 502, 503, 504)
_CONNECTION_ERRORS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class CorruptDownloadError(OSError):
    """The content of a downloaded file is not that of the file in the repository."""


def is_transient(error: Exception) -> bool:
    """Return whether a failed request may succeed if it is repeated."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (*_RETRYABLE_STATUS, *_SERVER_ERROR)
    return isinstance(error, _CONNECTION_ERRORS)


def is_interrupted_download(error: Exception) -> bool:
    """Return whether a download failed with a transient error that the client does not retry itself."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _SERVER_ERROR
    if isinstance(error, httpx2.ReadError):
        return "/api/" not in error.request.url.path  # a file, not the list of files
    incomplete = type(error) is OSError and error.errno is None  # raised if the file has the wrong size
    return incomplete or isinstance(error, CorruptDownloadError)


def call_with_retry(
    call: Callable[[], T],
    *,
    error_prefix: str,
    retry_on: Callable[[Exception], bool] | None = is_transient,
    hint: str = "",
) -> T:
    """Return the result of a call to the Hub, which is repeated after errors that `retry_on` accepts.

    Args:
        call: the call; it may be made several times.
        error_prefix: start of the error message, such as ``"the model 'a/b' cannot be loaded"``.
        retry_on: returns whether to retry after an error; None: never retry.
        hint: text that is appended to the error message if the error is transient.

    Raises:
        ModelError: the call failed; the message gives the reason and what to do.
    """
    for delay in (*RETRY_DELAYS, None):
        try:
            with _with_timeout():
                return call()
        except NlpmtlError:
            raise
        except Exception as error:  # the errors of the client have no common base class
            wait = None if delay is None else max(delay, _retry_after(error))
            if wait is None or wait > _MAX_WAIT or retry_on is None or not retry_on(error):
                end = hint if is_transient(_root_cause(error)) else ""
                raise ModelError(f"{error_prefix}: {describe_error(error)}{end}") from error
            _logger.warning("%s: %s. Retrying in %g s", error_prefix, describe_error(error).partition(". ")[0], wait)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def describe_error(error: Exception) -> str:
    """Return why a call failed, and what to do about it."""
    error = _root_cause(error)
    if isinstance(error, GatedRepoError):
        return f"the repository is gated. Request access on its page, then {_LOGIN_ADVICE}"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision. Specify an existing branch, tag or commit"
    if isinstance(error, DisabledRepoError):
        return "the Hub has disabled this repository"
    if isinstance(error, RepositoryNotFoundError):
        return f"the repository does not exist or is private. Check its name; if it is private, {_LOGIN_ADVICE}"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error)
    if isinstance(error, httpx2.TimeoutException):
        return f"{constants.ENDPOINT} does not respond. Try again later"
    if isinstance(error, httpx2.TransportError):
        return f"the connection to {constants.ENDPOINT} failed ({error or type(error).__name__}). Try again later"
    if isinstance(error, OSError | ValueError) and not isinstance(error, JSONDecodeError):
        return str(error)
    return f"the Hub's response cannot be parsed ({type(error).__name__}: {error})"


def _root_cause(error: Exception) -> Exception:
    """Return the original error if the client has wrapped it in another one."""
    while isinstance(error, RuntimeError | LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _explain_status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    reason = " ".join((error.server_message or error.response.reason_phrase).split()).rstrip(".")
    if status == 401:
        return f"the Hub rejects the access token ({reason}). Create a new token, then {_LOGIN_ADVICE}"
    if status == 403:
        return f"the Hub denies access ({reason}). Use a token with this permission: {_LOGIN_ADVICE}"
    if status in (*_RETRYABLE_STATUS, *_SERVER_ERROR):
        return f"the Hub responds with {status} ({reason}). Try again later"
    return f"the Hub responds with {status}: {reason}"


def _retry_after(error: Exception) -> float:
    """Return the seconds that the Hub asks to wait before the next request; 0 if it does not."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    limit = parse_ratelimit_headers(error.response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    seconds = error.response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0.0


@contextmanager
def _with_timeout() -> Iterator[None]:
    """Set time-outs for all requests within the block, and check all responses."""
    with http_hook("request", _set_timeout), validated_responses():
        yield


def _set_timeout(request: httpx2.Request) -> None:
    limits = request.extensions.get("timeout", {})
    phases = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {phase: TIMEOUT if limits.get(phase) is None else limits[phase] for phase in phases}

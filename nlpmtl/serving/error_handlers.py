"""Error responses in one format, with the error types of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from nlpmtl.errors import quote
from nlpmtl.serving.schemas import ErrorResponse
from nlpmtl.strict_model import explain

_JSON = {"must be False": "must be false", "must be True": "must be true", "must be None": "must be null"}
_TYPES = {424: "Backend", 429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorResponse, "description": "The model has no such task."},
    413: {"model": ErrorResponse, "description": "The body, the number of inputs or an input is too large."},
    422: {"model": ErrorResponse, "description": "The request is invalid, or the model cannot process it."},
    424: {"model": ErrorResponse, "description": "The computation failed."},
    429: {"model": ErrorResponse, "description": "Too many requests are waiting; retry later."},
    503: {"model": ErrorResponse, "description": "The server is shutting down."},
}


def register_error_handlers(app: FastAPI) -> None:
    """Make all errors of an application `ErrorResponse`s."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        match error.status_code, error.detail:
            case 400, _:  # FastAPI cannot parse the body
                return _error(422, _unreadable(error.__cause__))
            case 404, "Not Found":
                message = f"there is no {request.url.path}; GET /docs has all routes"
            case 405, _:
                message = f"{request.url.path} does not accept {request.method}; write {(error.headers or {})['Allow']}"
            case _:
                message = error.detail
        return _error(error.status_code, message, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _error(422, "; ".join(_message(part) for part in error.errors()[:3]))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return _error(500, f"unexpected: {type(error).__name__}")


def _unreadable(cause: BaseException | None) -> str:
    """Return the message for a body that JSON cannot be read from."""
    match cause:
        case UnicodeDecodeError():
            return f"the body is not valid UTF-8 (byte {cause.start})"
        case RecursionError():
            return "the body is nested too deeply"
        case _:
            return f"the body cannot be read: {cause}"


def _message(error: Mapping[str, Any]) -> str:
    """Return the message for a violation of the request schema."""
    place = ".".join(str(part) for part in error["loc"] if part != "body") or "the body"
    match error["type"]:
        case "json_invalid":
            return f"the body is not valid JSON: {error['ctx']['error']} (character {error['loc'][-1]})"
        case "model_attributes_type" | "dict_type":
            return 'the body must be a JSON object, {"inputs": …}, sent with Content-Type: application/json'
        case "missing":
            return f'{place} is required: {{"inputs": …}}'
        case "extra_forbidden":
            return f"{place}: unknown key"
        case "value_error":
            return f"{place}: {error['msg'].removeprefix('Value error, ')}"
        case kind:
            message = explain(kind, error["msg"], error.get("ctx", {}))
            return f"{place}: {_JSON.get(message, message)}, found {quote(error['input'], limit=60)}"


def _error(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    text = message[:500].encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": text, "error_type": _TYPES.get(status, "Validation")}, status, headers=headers)

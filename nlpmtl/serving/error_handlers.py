"""Error responses in one format, with the error types of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from nlpmtl.serving.schemas import ErrorResponse

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
        status = 422 if error.status_code == 400 else error.status_code  # 400: FastAPI cannot parse the body
        return _error(status, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _error(422, "; ".join(_message(part) for part in error.errors()[:3]))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return _error(500, f"unexpected: {type(error).__name__}")


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
        case _:
            return f"{place}: {error['msg'].removeprefix('Value error, ')}"


def _error(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    text = message[:500].encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": text, "error_type": _TYPES.get(status, "Validation")}, status, headers=headers)

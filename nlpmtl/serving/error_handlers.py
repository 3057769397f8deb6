"""How a server says no: every error has one shape, with the codes of text-embeddings-inference."""

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
    404: {"model": ErrorResponse, "description": "There is no such task."},
    413: {"model": ErrorResponse, "description": "Too large: the body, the number of inputs, or an input."},
    422: {"model": ErrorResponse, "description": "The request means nothing, or asks for what the model cannot do."},
    424: {"model": ErrorResponse, "description": "The computation failed."},
    429: {"model": ErrorResponse, "description": "Too many requests wait: come back later."},
    503: {"model": ErrorResponse, "description": "The server is shutting down."},
}


def register_error_handlers(app: FastAPI) -> None:
    """Every error has the same shape."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        status = 422 if error.status_code == 400 else error.status_code  # FastAPI's word for a body it cannot read
        return _error(status, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _error(422, "; ".join(_say(one) for one in error.errors()[:3]))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return _error(500, f"unexpected: {type(error).__name__}")


def _say(error: Mapping[str, Any]) -> str:
    """A broken rule of a request's shape."""
    place = ".".join(str(part) for part in error["loc"] if part != "body") or "the body"
    match error["type"]:
        case "json_invalid":
            return f"the body is no JSON: {error['ctx']['error']} (character {error['loc'][-1]})"
        case "model_attributes_type" | "dict_type":
            return 'the body has to be a JSON object, {"inputs": …}, sent with Content-Type: application/json'
        case "missing":
            return f'{place} is needed: {{"inputs": …}}'
        case "extra_forbidden":
            return f"{place}: unknown key"
        case _:
            return f"{place}: {error['msg'].removeprefix('Value error, ')}"


def _error(status: int, said: str, *, headers: Mapping[str, str] | None = None) -> Response:
    plain = said[:500].encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"error": plain, "error_type": _TYPES.get(status, "Validation")}, status, headers=headers)

"""Web pages: the page to try a model, and the API documentation. Neither loads anything from another host."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response

from nlpmtl.serving.api_docs import render_api_docs

_MEDIA_TYPES = {"page.js": "text/javascript", "style.css": "text/css"}
"""Files that the pages load, and their media types."""
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
    "img-src data:; script-src 'self'; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
}


def add_pages(app: FastAPI) -> None:
    """Add the pages `/` and `/docs`, and the script and the style sheet that they load."""
    static = resources.files("nlpmtl.serving").joinpath("static")
    page = static.joinpath("page.html").read_text(encoding="utf-8")
    files = {name: static.joinpath(name).read_bytes() for name in _MEDIA_TYPES}
    api_docs = cache(lambda: render_api_docs(app.openapi()))

    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers=_HEADERS)

    @app.get("/docs", include_in_schema=False)
    async def show_api_docs() -> HTMLResponse:
        return HTMLResponse(api_docs(), headers=_HEADERS)

    @app.get("/static/{name}", include_in_schema=False)
    async def show_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "Not Found")
        return Response(files[name], media_type=_MEDIA_TYPES[name], headers=_HEADERS)
